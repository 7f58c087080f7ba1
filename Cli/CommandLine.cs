using System.CommandLine;
using Librarian.Cli.Commands;
using Librarian.Cli.Connections;
using Librarian.Cli.Output;

namespace Librarian.Cli;

/// <summary>The <c>librarian</c> command: parses arguments, runs one command, and turns its outcome into an exit code.</summary>
public static class CommandLine
{
    /// <summary>Runs one command.</summary>
    /// <param name="arguments">Arguments without the program's name.</param>
    /// <param name="terminal">Output streams and environment.</param>
    /// <param name="cancellationToken">Interrupts the command, like Ctrl-C.</param>
    /// <returns>One of <see cref="ExitCodes"/>.</returns>
    public static Task<int> RunAsync(string[] arguments, Terminal terminal, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(arguments);
        ArgumentNullException.ThrowIfNull(terminal);
        return RunAsync(Build(terminal), arguments, terminal, cancellationToken);
    }

    /// <summary>Runs a command of another program in the same manner.</summary>
    internal static async Task<int> RunAsync(Command command, string[] arguments, Terminal terminal, CancellationToken cancellationToken)
    {
        var parsed = command.Parse(arguments);
        if (parsed.Errors.Count > 0)
        {
            foreach (var error in parsed.Errors)
                await terminal.Error.WriteLineAsync("error: " + error.Message.Shown());
            await terminal.Error.WriteLineAsync("Add --help to see what the command takes.");
            return ExitCodes.Usage;
        }

        if (Common.NotUnicode(parsed) is { } refused)
            return terminal.Fail(
                $"The argument \"{refused}\" is not valid UTF-8, and only local files may have such names. Nothing was done."
            );

        try
        {
            return await parsed.InvokeAsync(
                new InvocationConfiguration
                {
                    Output = terminal.Out,
                    Error = terminal.Error,
                    EnableDefaultExceptionHandler = false,
                    // The demo (samples/Demo) stops its two sites within this time.
                    ProcessTerminationTimeout = TimeSpan.FromSeconds(20),
                },
                cancellationToken
            );
        }
        catch (OperationCanceledException)
        {
            await terminal.Error.WriteLineAsync("Interrupted.");
            return ExitCodes.Interrupted;
        }
        catch (ConnectionsException error)
        {
            return terminal.Fail(error.Message);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return terminal.Fail(error.Message);
        }
    }

    private static RootCommand Build(Terminal terminal) =>
        new("Talks to librarian sites. Exit codes: 0 done, 1 failed (reason on the error stream), 2 wrong usage, 130 interrupted.")
        {
            new UploadCommand(terminal).Build(),
            new UploadAllCommand(terminal).Build(),
            new GetCommand(terminal).Build(),
            new SearchFilesCommand(terminal).Build(),
            new ConnectionCommands(terminal).BuildPing(),
            new ConnectionCommands(terminal).BuildCheckConnections(),
            new AdministrationCommands(terminal).BuildCreateUser(),
            new AdministrationCommands(terminal).BuildDeleteUser(),
            new AdministrationCommands(terminal).BuildUpdateUser(),
            new AdministrationCommands(terminal).BuildAddLibrarian(),
            new AdministrationCommands(terminal).BuildGetLibrarianList(),
            new AdministrationCommands(terminal).BuildGetStoreList(),
            new DriveCommands(terminal, TimeProvider.System).Build(),
            new OrchestrationCommands(terminal, TimeProvider.System).Build(),
        };
}
