namespace Librarian.Tests.Functions.Documentation;

/// <summary>The files of the repository that people write.</summary>
internal static class SourceTree
{
    private static readonly string[] Types = [".cs", ".csproj", ".md", ".props", ".service", ".targets", ".yaml"];
    private static readonly string[] Scripts = ["Dockerfile", "test"];
    private static readonly string[] Generated = ["artifacts", "bin", "BenchmarkDotNet.Artifacts", "data", "obj", "TestResults"];

    public static readonly string Root = Path.GetDirectoryName(Path.GetDirectoryName(ApiDescription.File))!;

    public static readonly IReadOnlyList<string> Files = [.. FilesBelow(Root)];

    /// <summary>How a failure names a place: the file, relative to the root, and the text.</summary>
    public static string Shown(string file, string text) => $"{Path.GetRelativePath(Root, file)}: {text.Trim()}";

    private static IEnumerable<string> FilesBelow(string directory)
    {
        var files = Directory
            .EnumerateFiles(directory)
            .Where(file => Types.Contains(Path.GetExtension(file)) || Scripts.Contains(Path.GetFileName(file)));
        var directories = Directory.EnumerateDirectories(directory).Where(below => !IsSkipped(Path.GetFileName(below)));
        return files.Concat(directories.SelectMany(FilesBelow));
    }

    private static bool IsSkipped(string directory) => directory.StartsWith('.') || Generated.Contains(directory);
}
