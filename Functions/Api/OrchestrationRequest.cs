using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text.Json;
using System.Text.Unicode;
using Librarian.Client.Wire;
using Librarian.Durable;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.DurableTask.Client;
using DurableStatus = Microsoft.DurableTask.Client.OrchestrationRuntimeStatus;

namespace Librarian.Functions.Api;

/// <summary>
/// Reads requests to the management API (docs/spec/functions-host.md#management-api). Every reader returns a value or the refusal to send:
/// nothing that a caller can write may become a 500.
/// </summary>
internal sealed class OrchestrationRequest(HttpRequest request)
{
    /// <summary>Longest id of a new instance, in characters, as in Durable Functions.</summary>
    internal const int MaxNewInstanceId = 100;

    /// <summary>Longest name of an event or orchestrator, in characters.</summary>
    internal const int MaxName = 200;

    /// <summary>Most instances per page; the engine has no larger pages.</summary>
    internal const int MaxTop = 1000;

    /// <summary>
    /// Index of the id or name in the paths <c>/durable/v1/instances/ID</c> and <c>/durable/v1/orchestrators/NAME</c>, split at '/'.
    /// </summary>
    internal const int SubjectSegment = 4;

    // The Functions host ends an answer after 240 seconds of silence (docs/spec/functions-host.md#answer-time-limit).
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(200);

    /// <summary>A refusal; <paramref name="reason"/> begins with a stable code.</summary>
    internal IResult Refuse(int status, string reason, string remedy) => Answers.Fail(request, status, reason, remedy);

    /// <summary>404 for an instance that does not exist.</summary>
    internal IResult NotFound(string instanceId, int status = StatusCodes.Status404NotFound) =>
        Refuse(
            status,
            $"InstanceNotFound: there is no orchestration instance '{instanceId}'.",
            "Check the id; an instance that was purged is gone. GET instances lists those that exist."
        );

    /// <summary>410 for an instance that has ended.</summary>
    internal IResult Finished(OrchestrationMetadata instance) =>
        Refuse(
            StatusCodes.Status410Gone,
            $"InstanceFinished: the instance '{instance.InstanceId}' is {instance.RuntimeStatus}.",
            "Nothing was changed. Restart it to run it again."
        );

    /// <summary>Reads the id of an existing instance, by the engine's rules.</summary>
    internal bool TryInstanceId(string routeValue, out string id, [NotNullWhen(false)] out IResult? refusal)
    {
        id = PathText(routeValue, SubjectSegment);
        refusal =
            id.Length is > 0 and <= DatabaseDurableTaskClient.MaxInstanceIdLength && !id.Any(char.IsControl)
                ? null
                : Refuse(
                    StatusCodes.Status400BadRequest,
                    "InstanceIdInvalid: this cannot be the id of an instance.",
                    $"Ids have 1 to {DatabaseDurableTaskClient.MaxInstanceIdLength} characters and no control characters."
                );
        return refusal is null;
    }

    /// <summary>Reads an id for a new instance, by the stricter rules of Durable Functions.</summary>
    internal bool TryNewInstanceId(string? routeValue, out string? id, [NotNullWhen(false)] out IResult? refusal)
    {
        id = routeValue is null ? null : PathText(routeValue, SubjectSegment + 1);
        refusal =
            id is null
            || (
                id.Length is > 0 and <= MaxNewInstanceId
                && id[0] != '@'
                && id.IndexOfAny(['/', '\\', '#', '?']) < 0
                && !id.Any(char.IsControl)
            )
                ? null
                : Refuse(
                    StatusCodes.Status400BadRequest,
                    "InstanceIdInvalid: this cannot be the id of a new instance. Nothing was started.",
                    $"Use 1 to {MaxNewInstanceId} characters without '/', '\\', '#', '?' and control characters, "
                        + "and no '@' in front; or leave the id out."
                );
        return refusal is null;
    }

    /// <summary>Reads the name of an orchestrator or event from the path.</summary>
    internal bool TryName(string routeValue, int segment, out string name, [NotNullWhen(false)] out IResult? refusal)
    {
        name = PathText(routeValue, segment);
        refusal =
            name.Length is > 0 and <= MaxName && !name.Any(char.IsControl)
                ? null
                : Refuse(
                    StatusCodes.Status400BadRequest,
                    "NameInvalid: this cannot be the name of an orchestrator or event. Nothing was changed.",
                    $"Use 1 to {MaxName} characters, none of them a control character."
                );
        return refusal is null;
    }

    /// <summary>Reads a switch from the query string.</summary>
    internal bool TrySwitch(string key, bool missing, out bool value, [NotNullWhen(false)] out IResult? refusal)
    {
        refusal = null;
        value = missing;
        if (Value(key) is not { } text || bool.TryParse(text, out value))
            return true;
        refusal = Invalid(key, text, "Write true or false.");
        return false;
    }

    /// <summary>Reads a time from the query string. It is UTC unless it has an offset.</summary>
    internal bool TryTime(string key, out DateTimeOffset? value, [NotNullWhen(false)] out IResult? refusal)
    {
        (value, refusal) = (null, null);
        if (Value(key) is not { } text)
            return true;
        if (
            DateTimeOffset.TryParse(
                text,
                CultureInfo.InvariantCulture,
                DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal,
                out var time
            )
        )
        {
            value = time;
            return true;
        }

        refusal = Invalid(key, text, "Write for example 2026-11-24T04:05:06Z; a '+' has to be sent as %2B.");
        return false;
    }

    /// <summary>Reads the statuses from the query string, repeated or separated by commas. Null means no limit.</summary>
    internal bool TryStatuses(out List<DurableStatus>? statuses, [NotNullWhen(false)] out IResult? refusal)
    {
        (statuses, refusal) = (null, null);
        foreach (
            var text in Values("runtimeStatus")
                .SelectMany(v => v.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        )
        {
            // Names only: Enum.TryParse also accepts numbers.
            if (
                Enum.GetNames<DurableStatus>().FirstOrDefault(name => name.Equals(text, StringComparison.OrdinalIgnoreCase))
                is not { } known
            )
            {
                refusal = Invalid("runtimeStatus", text, $"Use {string.Join(", ", Enum.GetNames<DurableStatus>())}.");
                return false;
            }

            (statuses ??= []).Add(Enum.Parse<DurableStatus>(known));
        }

        return true;
    }

    /// <summary>Reads the page size from the query string.</summary>
    internal bool TryTop(out int top, [NotNullWhen(false)] out IResult? refusal)
    {
        (top, refusal) = (Microsoft.DurableTask.Client.OrchestrationQuery.DefaultPageSize, null);
        if (
            Value("top") is not { } text
            || (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out top) && top is >= 1 and <= MaxTop)
        )
            return true;
        refusal = Invalid("top", text, $"Use 1 to {MaxTop}, and {OrchestrationRoutes.ContinuationHeader} for what follows.");
        return false;
    }

    /// <summary>
    /// Reads how long to wait for the end. Null, which means no wait, unless both <c>timeout</c> and <c>pollingInterval</c> are given.
    /// </summary>
    internal bool TryWait(out TimeSpan? wait, [NotNullWhen(false)] out IResult? refusal)
    {
        (wait, refusal) = (null, null);
        if (!TrySeconds("timeout", out var timeout, out refusal) || !TrySeconds("pollingInterval", out var interval, out refusal))
            return false;
        if (timeout is null || interval is null)
            return true;
        if (interval > timeout)
        {
            refusal = Invalid("pollingInterval", Value("pollingInterval")!, "Give a timeout at least as long.");
            return false;
        }

        wait = timeout < LongestWait ? timeout : LongestWait;
        return true;
    }

    /// <summary>Reads a text without control characters from the query string.</summary>
    internal bool TryText(string key, out string? value, [NotNullWhen(false)] out IResult? refusal)
    {
        value = Value(key);
        refusal = value?.Any(char.IsControl) == true ? Invalid(key, "…", "Leave out control characters.") : null;
        return refusal is null;
    }

    /// <summary>Reads the body as JSON; null if it is empty. Holds at most <paramref name="limit"/> bytes in memory.</summary>
    internal async Task<(JsonElement? Body, IResult? Refusal)> ReadJsonAsync(int limit, CancellationToken cancellationToken)
    {
        IResult TooLarge() =>
            Refuse(
                StatusCodes.Status413PayloadTooLarge,
                $"PayloadTooLarge: the body has more than {limit} bytes. Nothing was changed.",
                "Keep bulk data in the catalog and send its id."
            );
        if (request.ContentLength > limit)
            return (null, TooLarge());
        var buffer = new MemoryStream();
        var chunk = new byte[16 * 1024];
        int read;
        while ((read = await request.Body.ReadAsync(chunk, cancellationToken)) > 0)
        {
            if (buffer.Length + read > limit)
                return (null, TooLarge());
            buffer.Write(chunk, 0, read);
        }

        var bytes = buffer.GetBuffer().AsMemory(0, (int)buffer.Length);
        if (bytes.Span.StartsWith((ReadOnlySpan<byte>)[0xEF, 0xBB, 0xBF]))
            bytes = bytes[3..];
        if (bytes.IsEmpty)
            return (null, null);
        try
        {
            if (!Utf8.IsValid(bytes.Span))
                throw new JsonException("The body is no UTF-8.");
            using var document = JsonDocument.Parse(bytes);
            // Serialised once here, because only that detects half a surrogate pair (\ud800).
            _ = JsonSerializer.SerializeToUtf8Bytes(document.RootElement);
            return (document.RootElement.Clone(), null);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or ArgumentException)
        {
            return (
                null,
                Refuse(StatusCodes.Status400BadRequest, $"JsonInvalid: {e.Message} Nothing was changed.", "Send one JSON value in UTF-8.")
            );
        }
    }

    private bool TrySeconds(string key, out TimeSpan? value, [NotNullWhen(false)] out IResult? refusal)
    {
        (value, refusal) = (null, null);
        if (Value(key) is not { } text)
            return true;
        if (
            double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var seconds)
            && seconds is > 0 and <= 86_400
        )
        {
            value = TimeSpan.FromSeconds(seconds);
            return true;
        }

        refusal = Invalid(key, text, "Give seconds, more than 0 and at most 86400.");
        return false;
    }

    // ASP.NET Core already compares query keys without case. Empty values count as absent.
    private IEnumerable<string> Values(string key) => request.Query[key].Where(v => !string.IsNullOrEmpty(v))!;

    private string? Value(string key) => Values(key).FirstOrDefault();

    private IResult Invalid(string key, string value, string remedy) =>
        Refuse(
            StatusCodes.Status400BadRequest,
            $"ParameterInvalid: {key} is '{(value.Length > 100 ? value[..100] + "…" : value)}'. Nothing was changed.",
            remedy
        );

    /// <summary>
    /// Returns the text of one path segment. Routing leaves an encoded slash as it is, so that "%2F" and "%252F" look the same; the raw
    /// target shows the difference, where the server provides it. Behind a Functions host it is the target that the client sent
    /// (docs/spec/functions-host.md#http-path).
    /// </summary>
    private string PathText(string routeValue, int segment)
    {
        if (!routeValue.Contains('%', StringComparison.Ordinal))
            return routeValue;
        var target = request.HttpContext.Features.Get<IHttpRequestFeature>()?.RawTarget ?? "";
        var segments = target.Split('?', 2)[0].Split('/');
        return target.StartsWith('/') && segments.Length > segment
            ? Uri.UnescapeDataString(segments[segment])
            : routeValue.Replace("%2F", "/", StringComparison.OrdinalIgnoreCase);
    }
}
