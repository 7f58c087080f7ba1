using System.Diagnostics;

namespace Librarian.Tests.TestKit;

/// <summary>Runs short programs for fixtures.</summary>
public static class ProcessRunner
{
    /// <summary>Runs a program to its end. If it fails, throws an exception with its output.</summary>
    public static async Task<string> RunAsync(string program, IReadOnlyList<string> arguments, string? workingDirectory = null)
    {
        if (arguments.Prepend(program).Any(word => word.Contains("mount", StringComparison.Ordinal)))
            QuickTier.Refuse("a mount, which needs root");
        // Output goes to a file, because a daemon that the program starts (pg_ctl) inherits it, and a pipe would never close.
        var output = Path.Combine(Path.GetTempPath(), $"librarian-run-{Guid.NewGuid():N}.log");
        var start = new ProcessStartInfo("/bin/sh") { UseShellExecute = false, WorkingDirectory = workingDirectory ?? Path.GetTempPath() };
        start.ArgumentList.Add("-c");
        start.ArgumentList.Add("out=$1; shift; exec \"$@\" >\"$out\" 2>&1 </dev/null");
        start.ArgumentList.Add("sh");
        start.ArgumentList.Add(output);
        start.ArgumentList.Add(program);
        foreach (var argument in arguments)
            start.ArgumentList.Add(argument);
        using var process = Process.Start(start) ?? throw new InvalidOperationException($"Could not start {program}");
        await process.WaitForExitAsync();
        var text = File.Exists(output) ? await File.ReadAllTextAsync(output) : "";
        File.Delete(output);
        return process.ExitCode == 0
            ? text
            : throw new InvalidOperationException($"{program} {string.Join(' ', arguments)} exited {process.ExitCode}: {text}");
    }
}
