using System.Reflection;

namespace Librarian.Samples.Demo;

/// <summary>Programs of this source tree that were built together with the demo.</summary>
internal static class BuiltProgram
{
    /// <summary>The site.</summary>
    internal static string Site => PathOf("SiteProgram");

    /// <summary>The <c>librarian</c> command; a fresh clone has none on the path.</summary>
    internal static string Cli => PathOf("CliProgram");

    private static string PathOf(string key) =>
        typeof(BuiltProgram).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(data => data.Key == key).Value!;
}
