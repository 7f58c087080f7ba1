using System.CommandLine;
using Librarian.Cli.Connections;
using Librarian.Cli.Output;
using Librarian.Client;
using Librarian.Client.Wire;

namespace Librarian.Cli.Commands;

/// <summary><c>ping CONN</c> and <c>check-connections</c>: check that the sites answer and know the account.</summary>
internal sealed class ConnectionCommands(Terminal terminal)
{
    // A check must not wait for hours.
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    internal Command BuildPing()
    {
        var connection = Common.Connection();
        var login = new Option<bool>("--require-login") { Description = "Also check user name and password." };
        var json = Common.Json();
        var command = new Command("ping", "Asks a site for its name and description.") { connection, login, json };
        command.SetAction(
            async (parsed, cancellationToken) =>
            {
                using var client = new LibrarianClient(ConnectionFile.Find(terminal, parsed.GetRequiredValue(connection)), s_patience);
                var reply = parsed.GetValue(login)
                    ? await client.PingLoggedAsync(cancellationToken)
                    : await client.PingAsync(cancellationToken);
                if (!reply.IsSuccess)
                    return terminal.Fail(reply.Error);
                if (parsed.GetValue(json))
                    return terminal.PrintJson(reply.Value, WireJson.Wire.PingResponse);
                await terminal.Out.WriteLineAsync(Readable.Printable($"{reply.Value.Name}: {reply.Value.Description}"));
                return ExitCodes.Success;
            }
        );
        return command;
    }

    internal Command BuildCheckConnections()
    {
        var command = new Command(
            "check-connections",
            "Pings every configured connection and says what keeps each site from working with its librarians; fails if any ping fails."
        );
        command.SetAction(
            async (_, cancellationToken) =>
            {
                var exitCode = ExitCodes.Success;
                foreach (var (name, connection) in ConnectionFile.Load(terminal))
                {
                    using var client = new LibrarianClient(connection, s_patience);
                    var reply = await client.PingAsync(cancellationToken);
                    await terminal.Out.WriteLineAsync(
                        reply.IsSuccess
                            ? $"Connection to {name} ({connection.BaseAddress}) succeeded."
                            : Readable.Printable($"Connection to {name} ({connection.BaseAddress}) failed: {reply.Error}")
                    );
                    if (!reply.IsSuccess)
                        exitCode = ExitCodes.Failure;
                    else
                        await PrintProblemsAsync(client, cancellationToken);
                }

                return exitCode;
            }
        );
        return command;
    }

    // Only an administrator gets this answer, and only from a site of this project, so a refusal is not a problem.
    private async Task PrintProblemsAsync(LibrarianClient client, CancellationToken cancellationToken)
    {
        var reply = await client.ListLibrariansAsync(new LibrarianListRequest(Ping: true, Check: true), cancellationToken);
        if (!reply.IsSuccess)
            return;
        foreach (var librarian in reply.Value.Librarians)
        {
            foreach (var problem in librarian.Problems ?? [])
                await terminal.Out.WriteLineAsync(Readable.Printable($"    with {librarian.Name}: {problem}"));
        }
    }
}
