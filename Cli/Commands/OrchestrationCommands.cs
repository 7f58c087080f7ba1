using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Librarian.Cli.Connections;
using Librarian.Cli.Output;
using Librarian.Client;
using Librarian.Client.Wire;

namespace Librarian.Cli.Commands;

/// <summary><c>orchestrations …</c>: shows the site's workflows and intervenes in them (docs/orchestrations.md).</summary>
internal sealed partial class OrchestrationCommands(Terminal terminal, TimeProvider time)
{
    // A call about workflows is answered quickly or not at all.
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(100);
    private static readonly TimeSpan s_refresh = TimeSpan.FromSeconds(1);

    internal Command Build() =>
        new("orchestrations", "Shows and controls the workflows of a site.")
        {
            BuildList(),
            BuildShow(),
            BuildRaise(),
            BuildControl(
                "terminate",
                "Ends an instance; the reason becomes its output.",
                "Asked to terminate",
                static (client, id, reason, token) => client.TerminateOrchestrationAsync(id, reason, token)
            ),
            BuildControl(
                "suspend",
                "Stops an instance until it is resumed; what arrives meanwhile is kept.",
                "Asked to suspend",
                static (client, id, reason, token) => client.SuspendOrchestrationAsync(id, reason, token)
            ),
            BuildControl("resume", "Lets a suspended instance go on.", "Asked to resume", static (client, id, reason, token) =>
                client.ResumeOrchestrationAsync(id, reason, token)
            ),
            BuildControl(
                "rewind",
                "Repeats what failed in a failed instance; what succeeded is kept.",
                "Rewound",
                static (client, id, reason, token) => client.RewindOrchestrationAsync(id, reason, token)
            ),
            BuildRestart(),
            BuildPurge(),
        };

    private static Argument<string> InstanceId() => new("ID") { Description = "Instance id." };

    private static Option<bool> Watch() =>
        new("--watch", "-w") { Description = "Look again every second until it has finished; Ctrl-C ends the looking, not the instance." };

    private static Option<OrchestrationState[]> Status()
    {
        var option = new Option<OrchestrationState[]>("--status", "-s")
        {
            Description = "Only in these statuses; repeat, or separate by commas.",
            AllowMultipleArgumentsPerToken = true,
            CustomParser = static result =>
            {
                List<OrchestrationState> states = [];
                foreach (
                    var name in result.Tokens.SelectMany(static token =>
                        token.Value.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
                    )
                )
                {
                    if (!char.IsAsciiDigit(name[0]) && Enum.TryParse<OrchestrationState>(name, ignoreCase: true, out var state))
                        states.Add(state);
                    else
                        result.AddError($"\"{name}\" is no status; use {string.Join(", ", Enum.GetNames<OrchestrationState>())}.");
                }

                return [.. states];
            },
        };
        return option;
    }

    private static Option<DateTimeOffset?> Time(string name, string description) =>
        new(name)
        {
            Description = description,
            CustomParser = static result =>
            {
                var text = result.Tokens.Single().Value;
                if (
                    DateTimeOffset.TryParse(
                        text,
                        CultureInfo.InvariantCulture,
                        DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal,
                        out var value
                    )
                )
                    return value;
                result.AddError($"\"{text}\" is not a time; write for example 2026-11-22T13:06:49.");
                return null;
            },
        };

    private Command BuildShow()
    {
        var (connection, id, json, watch) = (Common.Connection(), InstanceId(), Common.Json(), Watch());
        var command = new Command("show", "Shows an instance with its history.") { connection, id, json, watch };
        command.SetAction(
            async (parsed, cancellationToken) =>
            {
                using var client = Connect(parsed.GetRequiredValue(connection));
                var instance = parsed.GetRequiredValue(id);
                var view = new OrchestrationView(terminal, time, parsed.GetValue(json));
                async Task<Reply<OrchestrationInstance>> FetchAsync(CancellationToken token)
                {
                    var found = await client.GetOrchestrationAsync(
                        instance,
                        showHistory: true,
                        parsed.GetValue(json),
                        cancellationToken: token
                    );
                    // A site on a Durable Task hub cannot show a history.
                    if (found is not { IsSuccess: false, Error: Refused { Status: 501 } })
                        return found;
                    return await client.GetOrchestrationAsync(instance, cancellationToken: token);
                }

                return parsed.GetValue(watch)
                    ? await WatchAsync(FetchAsync, view.Update, view.Render, static found => found.IsFinished, cancellationToken)
                    : await OnceAsync(FetchAsync, view.Print, cancellationToken);
            }
        );
        return command;
    }

    private Command BuildRaise()
    {
        var (connection, id) = (Common.Connection(), InstanceId());
        var name = new Argument<string>("EVENT") { Description = "Name of the event." };
        var data = new Option<string?>("--data", "-d") { Description = "Its data as JSON.", CustomParser = ParseJson };
        var command = new Command("raise", "Sends an event to an instance.") { connection, id, name, data };
        command.SetAction(
            async (parsed, cancellationToken) =>
            {
                using var client = Connect(parsed.GetRequiredValue(connection));
                var (instance, eventName) = (parsed.GetRequiredValue(id), parsed.GetRequiredValue(name));
                ReadOnlyMemory<byte>? body = parsed.GetValue(data) is { } text ? Encoding.UTF8.GetBytes(text) : null;
                return Report(
                    await client.RaiseOrchestrationEventAsync(instance, eventName, body, cancellationToken),
                    $"Event {eventName} sent to {instance}."
                );
            }
        );
        return command;
    }

    private Command BuildControl(
        string verb,
        string description,
        string done,
        Func<LibrarianClient, string, string?, CancellationToken, Task<Reply<Acknowledged>>> actAsync
    )
    {
        var (connection, id) = (Common.Connection(), InstanceId());
        var reason = new Option<string?>("--reason", "-r") { Description = "For the record." };
        var command = new Command(verb, description) { connection, id, reason };
        command.SetAction(
            async (parsed, cancellationToken) =>
            {
                using var client = Connect(parsed.GetRequiredValue(connection));
                var instance = parsed.GetRequiredValue(id);
                return Report(await actAsync(client, instance, parsed.GetValue(reason), cancellationToken), $"{done} {instance}.");
            }
        );
        return command;
    }

    private Command BuildRestart()
    {
        var (connection, id) = (Common.Connection(), InstanceId());
        var same = new Option<bool>("--same-id")
        {
            Description = "Replace the old instance, which must have finished, instead of starting another beside it.",
        };
        var command = new Command("restart", "Starts an instance again with its old input; prints the id it runs under.")
        {
            connection,
            id,
            same,
        };
        command.SetAction(
            async (parsed, cancellationToken) =>
            {
                using var client = Connect(parsed.GetRequiredValue(connection));
                var reply = await client.RestartOrchestrationAsync(parsed.GetRequiredValue(id), !parsed.GetValue(same), cancellationToken);
                if (!reply.IsSuccess)
                    return terminal.Fail(reply.Error);
                await terminal.Out.WriteLineAsync(Readable.Printable(reply.Value.Id));
                return ExitCodes.Success;
            }
        );
        return command;
    }

    private Command BuildPurge()
    {
        var (connection, status) = (Common.Connection(), Status());
        var id = new Argument<string?>("ID")
        {
            Description = "One finished instance; without it give --created-from.",
            Arity = ArgumentArity.ZeroOrOne,
        };
        var from = Time("--created-from", "All finished instances created at or after this time, UTC unless it has an offset.");
        var to = Time("--created-to", "Only those created at or before this time.");
        var command = new Command("purge", "Removes finished instances with their histories.") { connection, id, from, to, status };
        command.Validators.Add(result =>
        {
            var many = result.GetValue(from) is not null;
            if (result.GetValue(id) is null == !many)
                result.AddError("Give either an ID or --created-from.");
            else if (!many && (result.GetResult(to) is not null || result.GetResult(status) is not null))
                result.AddError("--created-to and --status go with --created-from, not with an ID.");
        });
        command.SetAction(
            async (parsed, cancellationToken) =>
            {
                using var client = Connect(parsed.GetRequiredValue(connection));
                var reply = parsed.GetValue(id) is { } instance
                    ? await client.PurgeOrchestrationAsync(instance, cancellationToken)
                    : await client.PurgeOrchestrationsAsync(
                        parsed.GetValue(from)!.Value,
                        parsed.GetValue(to),
                        parsed.GetValue(status),
                        cancellationToken
                    );
                if (reply.Error is Refused { Status: 404 } refused && refused.Reason.StartsWith("NothingToPurge", StringComparison.Ordinal))
                    reply = new OrchestrationsPurged(0);
                return Report(reply, $"{reply.Value?.InstancesDeleted} purged.");
            }
        );
        return command;
    }

    private static string? ParseJson(ArgumentResult result)
    {
        var text = result.Tokens.Single().Value;
        try
        {
            using var document = JsonDocument.Parse(text);
        }
        catch (JsonException error)
        {
            result.AddError($"--data is no JSON: {error.Message} A text needs its quotes, such as '\"hello\"'.");
        }

        return text;
    }

    private int Report<T>(Reply<T> reply, string done)
    {
        if (!reply.IsSuccess)
            return terminal.Fail(reply.Error);
        terminal.Out.WriteLine(Readable.Printable(done));
        return ExitCodes.Success;
    }

    private LibrarianClient Connect(string name) => new(ConnectionFile.Find(terminal, name), s_patience);
}
