using System.CommandLine;
using Librarian.Cli.Output;
using Librarian.Client;
using Librarian.Client.Wire;
using Spectre.Console;

namespace Librarian.Cli.Commands;

internal sealed partial class OrchestrationCommands
{
    private Command BuildList()
    {
        var (connection, status, json, watch) = (Common.Connection(), Status(), Common.Json(), Watch());
        var prefix = new Option<string?>("--prefix", "-p") { Description = "Only ids that begin with this." };
        var from = Time("--created-from", "Only created at or after this time, UTC unless it has an offset.");
        var to = Time("--created-to", "Only created at or before this time.");
        var top = new Option<int>("--top", "-n")
        {
            Description = "At most this many, the newest; 1 to 10000.",
            DefaultValueFactory = static _ => 50,
        };
        top.Validators.Add(static result =>
        {
            if (result.GetValueOrDefault<int>() is < 1 or > 10_000)
                result.AddError("--top must be between 1 and 10000.");
        });
        var command = new Command("list", "Lists instances, oldest first.") { connection, status, prefix, from, to, top, json, watch };
        command.SetAction(
            async (parsed, cancellationToken) =>
            {
                using var client = Connect(parsed.GetRequiredValue(connection));
                var query = new OrchestrationQuery(
                    parsed.GetValue(prefix),
                    parsed.GetValue(from),
                    parsed.GetValue(to),
                    parsed.GetValue(status),
                    ShowInput: parsed.GetValue(json),
                    Top: 1000
                );
                var view = new OrchestrationListView(terminal, time, parsed.GetValue(json));
                Task<Reply<OrchestrationPage>> FetchAsync(CancellationToken token) => ListAsync(client, query, parsed.GetValue(top), token);
                return parsed.GetValue(watch)
                    ? await WatchAsync(
                        FetchAsync,
                        view.Update,
                        view.Render,
                        static page => page.Instances.All(static instance => instance.IsFinished),
                        cancellationToken
                    )
                    : await OnceAsync(FetchAsync, view.Print, cancellationToken);
            }
        );
        return command;
    }

    /// <summary>Reads all pages and keeps the newest <paramref name="top"/> instances, because the API lists the oldest first.</summary>
    private static async Task<Reply<OrchestrationPage>> ListAsync(
        LibrarianClient client,
        OrchestrationQuery query,
        int top,
        CancellationToken cancellationToken
    )
    {
        Queue<OrchestrationInstance> newest = new();
        for (string? token = null; ; )
        {
            var page = await client.ListOrchestrationsAsync(query with { ContinuationToken = token }, cancellationToken);
            if (!page.IsSuccess)
                return page;
            foreach (var instance in page.Value.Instances)
            {
                newest.Enqueue(instance);
                if (newest.Count > top)
                    newest.Dequeue();
            }

            if ((token = page.Value.ContinuationToken) is null)
                return new OrchestrationPage([.. newest], null);
        }
    }

    private async Task<int> OnceAsync<T>(
        Func<CancellationToken, Task<Reply<T>>> fetchAsync,
        Action<T> print,
        CancellationToken cancellationToken
    )
    {
        var reply = await fetchAsync(cancellationToken);
        if (!reply.IsSuccess)
            return terminal.Fail(reply.Error);
        print(reply.Value);
        return ExitCodes.Success;
    }

    /// <summary>
    /// Polls until the view is finished. A terminal is redrawn in place; other output gets new events as lines. Once a site has answered,
    /// this waits while it is briefly unreachable, for example during a restart.
    /// </summary>
    private async Task<int> WatchAsync<T>(
        Func<CancellationToken, Task<Reply<T>>> fetchAsync,
        Action<T> update,
        Func<T, string?, Spectre.Console.Rendering.IRenderable> render,
        Func<T, bool> isFinished,
        CancellationToken cancellationToken
    )
        where T : class
    {
        async Task<int> FollowAsync(Action<T, string?> draw)
        {
            T? last = null;
            while (true)
            {
                var reply = await fetchAsync(cancellationToken);
                if (reply.IsSuccess)
                    draw(last = reply.Value, null);
                else if (last is null || reply.Error is not (Unreachable or Refused { Status: >= 500 }))
                    return terminal.Fail(reply.Error);
                else
                    draw(last, Readable.Printable(reply.Error.ToString()));
                if (reply.IsSuccess && isFinished(last))
                    return ExitCodes.Success;
                await Task.Delay(s_refresh, time, cancellationToken);
            }
        }

        if (!terminal.Console.Profile.Capabilities.Interactive || !terminal.Console.Profile.Capabilities.Ansi)
        {
            return await FollowAsync(
                (value, trouble) =>
                {
                    if (trouble is null)
                        update(value);
                }
            );
        }

        return await terminal
            .Console.Live(new Text(""))
            .Overflow(VerticalOverflow.Crop)
            .Cropping(VerticalOverflowCropping.Top)
            .StartAsync(context =>
                FollowAsync(
                    (value, trouble) =>
                    {
                        context.UpdateTarget(render(value, trouble));
                        context.Refresh();
                    }
                )
            );
    }
}
