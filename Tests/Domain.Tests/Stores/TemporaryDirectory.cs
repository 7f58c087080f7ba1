using System.Diagnostics;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Domain.Stores;

/// <summary>A directory that is gone after the test, read-only trees in it too.</summary>
public sealed class TemporaryDirectory : IDisposable
{
    public TemporaryDirectory(string root = "/tmp")
    {
        Path = System.IO.Path.Combine(root, "librarian-tests-" + Guid.NewGuid().ToString("N"));
        Directory.CreateDirectory(Path);
    }

    public string Path { get; }

    public static implicit operator string(TemporaryDirectory directory) => directory.Path;

    public string this[string relative] => System.IO.Path.Combine(Path, relative);

    public string Write(string relative, string content)
    {
        var path = this[relative];
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(path)!);
        File.WriteAllText(path, content);
        return path;
    }

    public string Write(string relative, byte[] content)
    {
        var path = this[relative];
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(path)!);
        File.WriteAllBytes(path, content);
        return path;
    }

    public string MakeDirectory(string relative) => Directory.CreateDirectory(this[relative]).FullName;

    /// <summary>Runs a shell script in the directory, for what .NET cannot make (pipes, odd names).</summary>
    public void Shell(string script)
    {
        if (script.Contains("mount ", StringComparison.Ordinal))
            QuickTier.Refuse("a mount, which needs root");
        using var process = Process.Start(new ProcessStartInfo("/bin/sh", ["-ec", script]) { WorkingDirectory = Path })!;
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
    }

    public void Dispose()
    {
        using var process = Process.Start("/bin/sh", ["-c", $"chmod -R u+rwX '{Path}' 2>/dev/null; rm -rf '{Path}'"]);
        process.WaitForExit();
    }
}
