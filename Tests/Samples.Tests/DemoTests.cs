using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using Librarian.Cli;

namespace Librarian.Tests.Samples;

/// <summary>Runs the demo as people start it: three real processes, real files, real signals.</summary>
public sealed class DemoTests : IDisposable
{
    private static readonly TimeSpan s_timeout = TimeSpan.FromMinutes(20);

    private readonly string _work = Directory.CreateTempSubdirectory("librarian-demo-test-").FullName;
    private readonly CancellationTokenSource _limit = new(s_timeout);

    public void Dispose()
    {
        _limit.Dispose();
        Directory.Delete(_work, recursive: true);
    }

    [Fact]
    public async Task Demo_GeneratedFiles_EveryCopyIsReadAgainAndNothingIsLeft()
    {
        using var demo = Start("--exit", "--files", "24");
        var output = demo.StandardOutput.ReadToEndAsync(_limit.Token);
        var messages = demo.StandardError.ReadToEndAsync(_limit.Token);
        await demo.WaitForExitAsync(_limit.Token);

        Assert.True(demo.ExitCode == ExitCodes.Success, await messages);
        Assert.Equal(
            24,
            (await output)
                .Split('\n')
                .Count(static line =>
                    line.Contains(" mountain, archive ", StringComparison.Ordinal)
                    && line.TrimEnd().EndsWith(" equal", StringComparison.Ordinal)
                )
        );
        Assert.Contains("equals its source byte for byte", await output, StringComparison.Ordinal);
        Assert.DoesNotContain('\u001b', await output);
        Assert.Empty(Directory.EnumerateFileSystemEntries(_work));
    }

    [Fact]
    public async Task Demo_OwnFolder_SendsItsEntries()
    {
        var folder = Directory.CreateDirectory(Path.Join(_work, "mine")).FullName;
        await File.WriteAllTextAsync(Path.Join(folder, "né.txt"), "one");
        Directory.CreateDirectory(Path.Join(folder, "book", "empty"));
        await File.WriteAllTextAsync(Path.Join(folder, "book", ".hidden"), "two");

        using var demo = Start(folder, "--exit", "--directory", Path.Join(_work, "sites"));
        var output = demo.StandardOutput.ReadToEndAsync(_limit.Token);
        var messages = demo.StandardError.ReadToEndAsync(_limit.Token);
        await demo.WaitForExitAsync(_limit.Token);

        Assert.True(demo.ExitCode == ExitCodes.Success, await messages);
        Assert.Contains("demo/né.txt", await output, StringComparison.Ordinal);
        Assert.Equal("two", await File.ReadAllTextAsync(Path.Join(_work, "sites", "archive", "store", "demo", "book", ".hidden")));
    }

    [Fact]
    public async Task Demo_DirectoryInUse_TouchesNothing()
    {
        await File.WriteAllTextAsync(Path.Join(_work, "mine"), "x");
        using var demo = Start("--directory", _work, "--exit");
        var messages = await demo.StandardError.ReadToEndAsync(_limit.Token);
        await demo.WaitForExitAsync(_limit.Token);

        Assert.Equal(ExitCodes.Failure, demo.ExitCode);
        Assert.Contains("not empty", messages, StringComparison.Ordinal);
        Assert.Equal(["mine"], Directory.EnumerateFileSystemEntries(_work).Select(Path.GetFileName));
    }

    [Fact]
    public async Task Demo_WrongUsage_ExitsTwoAndStartsNothing()
    {
        using var demo = Start("--files", "0");
        var output = demo.StandardOutput.ReadToEndAsync(_limit.Token);
        var messages = await demo.StandardError.ReadToEndAsync(_limit.Token);
        await demo.WaitForExitAsync(_limit.Token);

        Assert.Equal(ExitCodes.Usage, demo.ExitCode);
        Assert.StartsWith("error: --files", messages, StringComparison.Ordinal);
        Assert.Empty(await output);
        Assert.Empty(Directory.EnumerateFileSystemEntries(_work));
    }

    [Theory]
    [InlineData("TERM", ExitCodes.Interrupted)]
    [InlineData("INT", ExitCodes.Interrupted)]
    [InlineData("KILL", 128 + 9)]
    public async Task Demo_Signalled_NoSiteSurvives(string signal, int exitCode)
    {
        using var demo = Start("--exit", "--files", "64");
        // The first report comes after both sites have started.
        string? line;
        do
        {
            line = await demo.StandardError.ReadLineAsync(_limit.Token);
        } while (line?.Contains(" uploaded", StringComparison.Ordinal) == false);
        Assert.NotNull(line);
        var sites = Children(demo.Id);
        Assert.Equal(2, sites.Count);

        using (var kill = Process.Start("/bin/sh", ["-c", $"kill -{signal} {demo.Id}"]))
            await kill.WaitForExitAsync(_limit.Token);

        await demo.WaitForExitAsync(_limit.Token);
        Assert.Equal(exitCode, demo.ExitCode);
        foreach (var site in sites)
            await site.WaitForExitAsync(_limit.Token);
    }

    // Takes handles while the processes live, so that a reused id is not mistaken for one of them.
    private static List<Process> Children(int parent)
    {
        List<Process> children = [];
        foreach (var folder in Directory.EnumerateDirectories("/proc").Where(static path => char.IsAsciiDigit(Path.GetFileName(path)[0])))
        {
            try
            {
                var status = File.ReadAllText(Path.Join(folder, "stat"));
                var parentField = status[(status.LastIndexOf(')') + 2)..].Split(' ')[1];
                if (int.Parse(parentField, CultureInfo.InvariantCulture) == parent)
                    children.Add(Process.GetProcessById(int.Parse(Path.GetFileName(folder), CultureInfo.InvariantCulture)));
            }
            catch (Exception error) when (error is IOException or ArgumentException)
            {
                // The process has ended.
            }
        }

        return children;
    }

    private Process Start(params string[] arguments)
    {
        var program = typeof(DemoTests)
            .Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
            .Single(static data => data.Key == "DemoProgram")
            .Value!;
        // A shell starts background processes with SIGINT ignored, and children inherit that, for example in a test run with & or nohup.
        var start = new ProcessStartInfo("env", ["--default-signal=INT", "dotnet", program, .. arguments])
        {
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["TMPDIR"] = _work;
        return Process.Start(start)!;
    }
}
