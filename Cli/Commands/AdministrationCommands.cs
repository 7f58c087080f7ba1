using System.CommandLine;
using Librarian.Cli.Connections;
using Librarian.Cli.Output;
using Librarian.Client;
using Librarian.Client.Wire;
using Spectre.Console;

namespace Librarian.Cli.Commands;

/// <summary>Commands for administrators: accounts, peers, stores. Silent on success unless they list something.</summary>
internal sealed class AdministrationCommands(Terminal terminal)
{
    internal Command BuildCreateUser()
    {
        var connection = Common.Connection();
        var username = new Option<string>("--username")
        {
            Description = "Account name; another site's account carries that site's name.",
            Required = true,
        };
        var password = new Option<string>("--password") { Description = "Its password.", Required = true };
        var level = new Option<string>("--auth-level") { Description = "What it may do.", Required = true };
        level.AcceptOnlyFromAmong([.. Enum.GetNames<AuthLevel>().Select(static name => name.ToUpperInvariant())]);
        var command = new Command("create-user", "Creates an account.") { connection, username, password, level };
        command.SetAction(
            async (parsed, cancellationToken) =>
            {
                using var client = Connect(parsed.GetRequiredValue(connection));
                var name = parsed.GetRequiredValue(username);
                var reply = await client.CreateUserAsync(
                    new UserCreateRequest(
                        name,
                        parsed.GetRequiredValue(password),
                        Enum.Parse<AuthLevel>(parsed.GetRequiredValue(level), ignoreCase: true)
                    ),
                    cancellationToken
                );
                return reply.Error switch
                {
                    null => ExitCodes.Success,
                    Refused { Status: 400 } refused => await WhyNotAsync(
                        client,
                        refused,
                        name,
                        $"The account {name} exists already; it was not changed. Delete it first, or choose another name.",
                        $"The account {name} was not created: the site does not allow this name or password. "
                            + "Both are ASCII without control characters and not empty, and a name has no colon.",
                        cancellationToken
                    ),
                    { } error => terminal.Fail(error),
                };
            }
        );
        return command;
    }

    internal Command BuildUpdateUser()
    {
        var connection = Common.Connection();
        var username = new Option<string>("--username") { Description = "Account name.", Required = true };
        var password = new Option<string>("--password") { Description = "New password; the present one stays without it." };
        var level = new Option<string>("--auth-level") { Description = "What it may do; stays without it." };
        level.AcceptOnlyFromAmong([.. Enum.GetNames<AuthLevel>().Select(static name => name.ToUpperInvariant())]);
        var command = new Command("update-user", "Changes an account's level or password.") { connection, username, password, level };
        command.Validators.Add(result =>
        {
            if (result.GetValue(password) is null && result.GetValue(level) is null)
                result.AddError("Give --password, --auth-level or both.");
        });
        command.SetAction(
            async (parsed, cancellationToken) =>
            {
                using var client = Connect(parsed.GetRequiredValue(connection));
                var name = parsed.GetRequiredValue(username);
                AuthLevel? permission = parsed.GetValue(level) is { } text ? Enum.Parse<AuthLevel>(text, ignoreCase: true) : null;
                var reply = await client.UpdateUserAsync(
                    new UserUpdateRequest(name, parsed.GetValue(password), permission),
                    cancellationToken
                );
                return reply.Error switch
                {
                    null when reply.Value!.Success => ExitCodes.Success,
                    null => terminal.Fail($"There is no account {Readable.Printable(name)}. Make it with create-user."),
                    // The protocol's 400 carries no reason (docs/spec/wire.md#users).
                    Refused { Status: 400 } => terminal.Fail(
                        $"The account {Readable.Printable(name)} was not changed: the password is not allowed (it must be ASCII), "
                            + "or it is the last administrator."
                    ),
                    { } error => terminal.Fail(error),
                };
            }
        );
        return command;
    }

    internal Command BuildDeleteUser()
    {
        var connection = Common.Connection();
        var username = new Option<string>("--username") { Description = "Account name.", Required = true };
        var command = new Command("delete-user", "Deletes an account.") { connection, username };
        command.SetAction(
            async (parsed, cancellationToken) =>
            {
                using var client = Connect(parsed.GetRequiredValue(connection));
                var reply = await client.DeleteUserAsync(new UserRequest(parsed.GetRequiredValue(username)), cancellationToken);
                return reply.Error switch
                {
                    null => ExitCodes.Success,
                    Refused { Status: 400 } refused => await WhyNotAsync(
                        client,
                        refused,
                        parsed.GetRequiredValue(username),
                        $"The account {parsed.GetValue(username)} was not deleted: it is the site's last administrator. "
                            + "Make another administrator first.",
                        $"There is no account {parsed.GetValue(username)}.",
                        cancellationToken
                    ),
                    { } error => terminal.Fail(error),
                };
            }
        );
        return command;
    }

    internal Command BuildAddLibrarian()
    {
        var connection = Common.Connection();
        var name = new Option<string>("--name") { Description = "The other site's name.", Required = true };
        var url = new Option<string>("--url") { Description = "Its address with scheme, without port.", Required = true };
        var port = new Option<int>("--port") { Description = "Its port.", Required = true };
        var authenticator = new Option<string>("--authenticator")
        {
            Description = "USER:PASSWORD of this site's account over there.",
            Required = true,
        };
        var offline = new Option<bool>("--offline", "--do-not-check-connection")
        {
            Description = "Do not check: it is away. Otherwise it must answer under this name and accept the credentials.",
        };
        var command = new Command("add-librarian", "Tells a site about another site, or corrects what it knows of it.")
        {
            connection,
            name,
            url,
            port,
            authenticator,
            offline,
        };
        command.SetAction(
            async (parsed, cancellationToken) =>
            {
                using var client = Connect(parsed.GetRequiredValue(connection));
                var librarian = parsed.GetRequiredValue(name);
                var isOffline = parsed.GetValue(offline);
                var reply = await client.AddLibrarianAsync(
                    new LibrarianAddRequest(
                        librarian,
                        parsed.GetRequiredValue(url),
                        parsed.GetRequiredValue(port),
                        parsed.GetRequiredValue(authenticator),
                        !isOffline,
                        isOffline
                    ),
                    cancellationToken
                );
                if (!reply.IsSuccess)
                    return terminal.Fail(reply.Error);
                if (!reply.Value.Success)
                {
                    return terminal.Fail(
                        reply.Value.AlreadyExists
                            ? $"Librarian {librarian} is known already; it was not changed."
                            : $"Librarian {librarian} was not added: it did not answer a ping. "
                                + "Check url, port and credentials, or add --offline."
                    );
                }

                await SayAddedAsync(librarian, reply.Value);
                return ExitCodes.Success;
            }
        );
        return command;
    }

    private async Task SayAddedAsync(string librarian, LibrarianAddResponse added)
    {
        await terminal.Out.WriteLineAsync(
            Readable.Printable(
                added switch
                {
                    { AlreadyExists: false } => $"Librarian {librarian} added.",
                    { Changed: { Count: > 0 } changed } => $"Librarian {librarian} was known; changed: {string.Join(", ", changed)}.",
                    _ => $"Librarian {librarian} was known with the same values; nothing was changed.",
                }
            )
        );
        foreach (var warning in added.Warnings ?? [])
            await terminal.Error.WriteLineAsync(Readable.Printable("warning: " + warning));
    }

    internal Command BuildGetLibrarianList()
    {
        var connection = Common.Connection();
        var ping = new Option<bool>("--ping")
        {
            Description = "Also try to reach each of them, and say what keeps the two sites from working together.",
        };
        var json = Common.Json();
        var command = new Command("get-librarian-list", "Lists the sites a site knows.") { connection, ping, json };
        command.SetAction(
            async (parsed, cancellationToken) =>
            {
                using var client = Connect(parsed.GetRequiredValue(connection));
                var reply = await client.ListLibrariansAsync(
                    new LibrarianListRequest(parsed.GetValue(ping), parsed.GetValue(ping) ? true : null),
                    cancellationToken
                );
                if (!reply.IsSuccess)
                    return terminal.Fail(reply.Error);
                if (parsed.GetValue(json))
                    return terminal.PrintJson(reply.Value, WireJson.Wire.LibrarianListResponse);
                foreach (var librarian in reply.Value.Librarians)
                {
                    var available = librarian.Available switch
                    {
                        true => "Available",
                        false => "Unavailable",
                        null => "Unknown",
                    };
                    PrintTitle(
                        $"{librarian.Name} ({librarian.Url}:{librarian.Port}) - {available} - "
                            + $"{(librarian.Enabled ? "Enabled" : "Disabled")}"
                    );
                    foreach (var problem in librarian.Problems ?? [])
                        await terminal.Out.WriteLineAsync("    " + Readable.Printable(problem));
                }

                return ExitCodes.Success;
            }
        );
        return command;
    }

    internal Command BuildGetStoreList()
    {
        var connection = Common.Connection();
        var json = Common.Json();
        var command = new Command("get-store-list", "Lists a site's stores.") { connection, json };
        command.SetAction(
            async (parsed, cancellationToken) =>
            {
                using var client = Connect(parsed.GetRequiredValue(connection));
                var reply = await client.ListStoresAsync(cancellationToken);
                if (!reply.IsSuccess)
                    return terminal.Fail(reply.Error);
                if (parsed.GetValue(json))
                    return terminal.PrintJson(reply.Value, WireJson.Wire.StoreEntryList);
                foreach (var store in reply.Value)
                {
                    var free = store.FreeSpace < 0 ? "unknown" : Readable.Size(store.FreeSpace);
                    PrintTitle(
                        $"{store.Name} ({store.StoreType}) [{free} Free] - {(store.Ingestable ? "" : "Not ")}Ingestable - "
                            + $"{(store.Available ? "" : "Not ")}Available - {(store.Enabled ? "Enabled" : "Disabled")}"
                    );
                }

                return ExitCodes.Success;
            }
        );
        return command;
    }

    /// <summary>
    /// Finds the reason for a 400 of users/create and users/delete by asking whether the account exists; the protocol's 400 carries no
    /// reason (docs/spec/wire.md#users).
    /// </summary>
    private async Task<int> WhyNotAsync(
        LibrarianClient client,
        Refused refused,
        string username,
        string whenItExists,
        string whenItDoesNot,
        CancellationToken cancellationToken
    )
    {
        if (refused.Body is { } body && body.TryGetProperty("reason", out _))
            return terminal.Fail(refused);
        var found = await client.GetUserAsync(new UserRequest(username), cancellationToken);
        return found.Error switch
        {
            null => terminal.Fail(Readable.Printable(whenItExists)),
            Refused { Status: 400 } => terminal.Fail(Readable.Printable(whenItDoesNot)),
            _ => terminal.Fail(refused),
        };
    }

    private LibrarianClient Connect(string name) => new(ConnectionFile.Find(terminal, name));

    private void PrintTitle(string title) => terminal.Console.MarkupLineInterpolated($"[bold]{Readable.Printable(title)}[/]");
}
