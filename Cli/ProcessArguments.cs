using System.Text;

namespace Librarian.Cli;

/// <summary>
/// The process's arguments as the shell gave them. The runtime replaces each byte that is not UTF-8 by U+FFFD. Files with such names could
/// not be found, and two such names would become equal.
/// </summary>
internal static class ProcessArguments
{
    private const char Replacement = '\uFFFD';

    /// <summary>Restores the bytes that the runtime replaced.</summary>
    /// <param name="arguments">Arguments from the runtime.</param>
    /// <param name="commandLine">
    /// Reads the kernel's copy, in which a zero byte ends each argument; called only if the runtime replaced something.
    /// </param>
    /// <returns>The arguments in the encoding of <see cref="PathBytes"/>.</returns>
    internal static string[] Exact(string[] arguments, Func<byte[]> commandLine)
    {
        if (!arguments.Any(static argument => argument.Contains(Replacement, StringComparison.Ordinal)))
            return arguments;
        List<byte[]> given = [];
        ReadOnlySpan<byte> rest = commandLine();
        for (var end = rest.IndexOf((byte)0); end >= 0; end = rest.IndexOf((byte)0))
        {
            given.Add(rest[..end].ToArray());
            rest = rest[(end + 1)..];
        }

        // The kernel's copy begins with the program and, for 'dotnet librarian.dll', its host.
        if (given.Count < arguments.Length)
            return arguments;
        var own = given.Skip(given.Count - arguments.Length).ToArray();
        return [.. arguments.Select((argument, i) => Encoding.UTF8.GetString(own[i]) == argument ? PathBytes.ToText(own[i]) : argument)];
    }
}
