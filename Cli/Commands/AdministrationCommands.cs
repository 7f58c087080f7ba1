using System.CommandLine;
using Librarian.Cli.Connections;
using Librarian.Client;
using Librarian.Client.Wire;
using Spectre.Console;

namespace Librarian.Cli.Commands;

/// <summary>Commands for administrators: accounts, other sites, stores. Silent on success unless they list something.</summary>
internal sealed class AdministrationCommands(Terminal terminal)
{
    internal Command BuildCreateUser()
    {
        var connection = Common.Connection();
        var username = new Option<string>("--username") { Description = "Account name; another site's account carries that site's name.", Required = true };
        var password = new Option<string>("--password") { Description = "Its password.", Required = true };
        var level = new Option<string>("--auth-level") { Description = "What it may do.", Required = true };
        level.AcceptOnlyFromAmong([.. Enum.GetNames<AuthLevel>().Select(static name => name.ToUpperInvariant())]);
        var command = new Command("create-user", "Creates an account.") { connection, username, password, level };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var client = Connect(parsed.GetRequiredValue(connection));
            var name = parsed.GetRequiredValue(username);
            var reply = await client.CreateUserAsync(
                new UserCreateRequest(name, parsed.GetRequiredValue(password), Enum.Parse<AuthLevel>(parsed.GetRequiredValue(level), ignoreCase: true)), cancellationToken);
            return reply.Error switch
            {
                null => ExitCodes.Success,
                // The protocol's 400 has no reason of its own (wire.md §6.2).
                Refused { Status: 400 } => terminal.Fail($"The account {name} exists already; it was not changed. Delete it first, or choose another name."),
                { } error => terminal.Fail(error),
            };
        });
        return command;
    }

    internal Command BuildDeleteUser()
    {
        var connection = Common.Connection();
        var username = new Option<string>("--username") { Description = "Account name.", Required = true };
        var command = new Command("delete-user", "Deletes an account.") { connection, username };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var client = Connect(parsed.GetRequiredValue(connection));
            var reply = await client.DeleteUserAsync(new UserRequest(parsed.GetRequiredValue(username)), cancellationToken);
            return reply.Error switch
            {
                null => ExitCodes.Success,
                Refused { Status: 400 } => terminal.Fail($"There is no account {parsed.GetValue(username)}."),
                { } error => terminal.Fail(error),
            };
        });
        return command;
    }

    internal Command BuildAddLibrarian()
    {
        var connection = Common.Connection();
        var name = new Option<string>("--name") { Description = "The other site's name.", Required = true };
        var url = new Option<string>("--url") { Description = "Its address with scheme, without port.", Required = true };
        var port = new Option<int>("--port") { Description = "Its port.", Required = true };
        var authenticator = new Option<string>("--authenticator") { Description = "USER:PASSWORD of this site's account over there.", Required = true };
        var unchecked_ = new Option<bool>("--do-not-check-connection") { Description = "Add it even if it cannot be reached now." };
        var command = new Command("add-librarian", "Tells a site about another site.") { connection, name, url, port, authenticator, unchecked_ };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var client = Connect(parsed.GetRequiredValue(connection));
            var librarian = parsed.GetRequiredValue(name);
            var reply = await client.AddLibrarianAsync(
                new LibrarianAddRequest(
                    librarian, parsed.GetRequiredValue(url), parsed.GetRequiredValue(port), parsed.GetRequiredValue(authenticator), !parsed.GetValue(unchecked_)),
                cancellationToken);
            if (!reply.IsSuccess)
                return terminal.Fail(reply.Error);
            if (!reply.Value.Success)
            {
                return terminal.Fail(reply.Value.AlreadyExists
                    ? $"Librarian {librarian} is known already; it was not changed."
                    : $"Librarian {librarian} was not added: it did not answer a ping. Check url, port and credentials, or add --do-not-check-connection.");
            }

            await terminal.Out.WriteLineAsync($"Librarian {librarian} added.");
            return ExitCodes.Success;
        });
        return command;
    }

    internal Command BuildGetLibrarianList()
    {
        var connection = Common.Connection();
        var ping = new Option<bool>("--ping") { Description = "Also try to reach each of them." };
        var json = Common.Json();
        var command = new Command("get-librarian-list", "Lists the sites a site knows.") { connection, ping, json };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var client = Connect(parsed.GetRequiredValue(connection));
            var reply = await client.ListLibrariansAsync(new LibrarianListRequest(parsed.GetValue(ping)), cancellationToken);
            if (!reply.IsSuccess)
                return terminal.Fail(reply.Error);
            if (parsed.GetValue(json))
                return terminal.PrintJson(reply.Value, WireJson.Wire.LibrarianListResponse);
            foreach (var librarian in reply.Value.Librarians)
            {
                var available = librarian.Available switch { true => "Available", false => "Unavailable", null => "Unknown" };
                PrintTitle($"{librarian.Name} ({librarian.Url}:{librarian.Port}) - {available} - {(librarian.Enabled ? "Enabled" : "Disabled")}");
            }

            return ExitCodes.Success;
        });
        return command;
    }

    internal Command BuildGetStoreList()
    {
        var connection = Common.Connection();
        var json = Common.Json();
        var command = new Command("get-store-list", "Lists a site's stores.") { connection, json };
        command.SetAction(async (parsed, cancellationToken) =>
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
                    $"{store.Name} ({store.StoreType}) [{free} Free] - {(store.Ingestable ? "" : "Not ")}Ingestable - {(store.Available ? "" : "Not ")}Available - {(store.Enabled ? "Enabled" : "Disabled")}");
            }

            return ExitCodes.Success;
        });
        return command;
    }

    private LibrarianClient Connect(string name) => new(ConnectionFile.Find(terminal, name));

    private void PrintTitle(string title) => terminal.Console.MarkupLineInterpolated($"[bold]{Readable.Printable(title)}[/]");
}
