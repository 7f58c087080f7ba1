using System.Diagnostics.CodeAnalysis;
using System.Text.Json;

namespace Librarian.Client;

/// <summary>Outcome of a call: a value or an error. HTTP statuses and lost connections are outcomes, not exceptions.</summary>
/// <typeparam name="T">Type of the value.</typeparam>
public sealed class Reply<T>
{
    private Reply(T? value, ReplyError? error) => (Value, Error) = (value, error);

    /// <summary>The value of a successful call.</summary>
    public T? Value { get; }

    /// <summary>The reason why the call failed, or null.</summary>
    public ReplyError? Error { get; }

    /// <summary>Whether there is a value.</summary>
    [MemberNotNullWhen(true, nameof(Value))]
    [MemberNotNullWhen(false, nameof(Error))]
    public bool IsSuccess => Error is null;

    /// <summary>Wraps a value as a success.</summary>
    /// <param name="value">The value.</param>
    public static implicit operator Reply<T>(T value) => new(value, null);

    /// <summary>Wraps an error as a failure.</summary>
    /// <param name="error">The error.</param>
    public static implicit operator Reply<T>(ReplyError error) => new(default, error);

    /// <inheritdoc/>
    public override string ToString() => Error?.ToString() ?? Value?.ToString() ?? "";
}

/// <summary>Value of a call whose response has no content.</summary>
public readonly record struct Acknowledged;

/// <summary>The reason why a call has no value: <see cref="Refused"/>, <see cref="Unreachable"/> or <see cref="Malformed"/>.</summary>
public abstract record ReplyError
{
    private protected ReplyError() { }

    /// <summary>Whether the site may have carried out the request although no valid response came.</summary>
    public abstract bool MayHaveActed { get; }
}

/// <summary>The site answered with a status outside 200 to 299.</summary>
/// <param name="Status">HTTP status.</param>
/// <param name="Reason">The site's reason, or a sentence that says that it gave none.</param>
/// <param name="SuggestedRemedy">The site's remedy; empty if it gave none.</param>
/// <param name="Body">The decoded object (unwrapped from <c>detail</c>), or null if the body was not a JSON object.</param>
public sealed record Refused(int Status, string Reason, string SuggestedRemedy, JsonElement? Body) : ReplyError
{
    /// <summary>The site's report on a copy that it has checked (<see cref="Wire.CopyEvidence"/>), or null.</summary>
    public string? CopyVerified { get; init; }

    /// <summary>The pause that the site asks for before a retry, or null.</summary>
    public TimeSpan? RetryAfter { get; init; }

    /// <summary>A server error may occur after the request took effect; any other refusal had no effect.</summary>
    public override bool MayHaveActed => Status >= 500;

    /// <summary>Reads an array of transfer ids from the body, such as <c>source_transfer_ids</c> in a 409 of clone/batch_stage.</summary>
    /// <param name="field">Name of the field.</param>
    /// <returns>The ids; empty if the field is absent or not an array of integers.</returns>
    public IReadOnlyList<long> Ids(string field) =>
        Body is { } body && body.TryGetProperty(field, out var ids) && ids.ValueKind == JsonValueKind.Array
            ?
            [
                .. ids.EnumerateArray()
                    .Where(static id => id.ValueKind == JsonValueKind.Number && id.TryGetInt64(out _))
                    .Select(static id => id.GetInt64()),
            ]
            : [];

    /// <inheritdoc/>
    public override string ToString() => $"{Reason} (HTTP {Status}){(SuggestedRemedy.Length == 0 ? "" : " " + SuggestedRemedy)}";
}

/// <summary>No complete response came: no connection, a lost connection, or a timeout.</summary>
/// <param name="Why">What happened.</param>
/// <param name="Sent">Whether the request may have reached the site.</param>
public sealed record Unreachable(string Why, bool Sent) : ReplyError
{
    /// <inheritdoc/>
    public override bool MayHaveActed => Sent;

    /// <inheritdoc/>
    public override string ToString() => Why;
}

/// <summary>The site reported success, but its response is malformed.</summary>
/// <param name="Status">HTTP status.</param>
/// <param name="Why">What is wrong with the response.</param>
public sealed record Malformed(int Status, string Why) : ReplyError
{
    /// <inheritdoc/>
    public override bool MayHaveActed => true;

    /// <inheritdoc/>
    public override string ToString() => $"The answer (HTTP {Status}) could not be understood: {Why}";
}
