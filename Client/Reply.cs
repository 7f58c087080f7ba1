using System.Diagnostics.CodeAnalysis;
using System.Text.Json;

namespace Librarian.Client;

/// <summary>Outcome of a call: a value, or why there is none. HTTP statuses and lost connections are outcomes, not exceptions.</summary>
/// <typeparam name="T">Type of the value.</typeparam>
public sealed class Reply<T>
{
    private Reply(T? value, ReplyError? error) => (Value, Error) = (value, error);

    /// <summary>The value of a successful call.</summary>
    public T? Value { get; }

    /// <summary>Why the call failed, or null.</summary>
    public ReplyError? Error { get; }

    /// <summary>Whether there is a value.</summary>
    [MemberNotNullWhen(true, nameof(Value))]
    [MemberNotNullWhen(false, nameof(Error))]
    public bool IsSuccess => Error is null;

    /// <summary>A success.</summary>
    /// <param name="value">The value.</param>
    public static implicit operator Reply<T>(T value) => new(value, null);

    /// <summary>A failure.</summary>
    /// <param name="error">Why.</param>
    public static implicit operator Reply<T>(ReplyError error) => new(default, error);

    /// <inheritdoc/>
    public override string ToString() => Error?.ToString() ?? Value?.ToString() ?? "";
}

/// <summary>The answer of a call that answers nothing but "done".</summary>
public readonly record struct Acknowledged;

/// <summary>Why a call has no value: <see cref="Refused"/>, <see cref="Unreachable"/> or <see cref="Garbled"/>.</summary>
public abstract record ReplyError
{
    private protected ReplyError()
    {
    }

    /// <summary>Whether the site may have carried out the request although no proper answer came.</summary>
    public abstract bool MayHaveActed { get; }
}

/// <summary>The site answered with a status outside 200 to 299.</summary>
/// <param name="Status">HTTP status.</param>
/// <param name="Reason">The site's reason, or a sentence that it gave none.</param>
/// <param name="SuggestedRemedy">The site's remedy; empty when it gave none.</param>
/// <param name="Body">The decoded object (unwrapped from <c>detail</c>), or null if the body was no JSON object.</param>
public sealed record Refused(int Status, string Reason, string SuggestedRemedy, JsonElement? Body) : ReplyError
{
    /// <summary>A server error may have struck after the effect; any other refusal had none.</summary>
    public override bool MayHaveActed => Status >= 500;

    /// <summary>An array of transfer ids in the body, such as <c>source_transfer_ids</c> of a 409 from clone/batch_stage.</summary>
    /// <param name="field">Name of the field.</param>
    /// <returns>The ids; empty when the field is absent or no array of integers.</returns>
    public IReadOnlyList<long> Ids(string field) =>
        Body is { } body && body.TryGetProperty(field, out var ids) && ids.ValueKind == JsonValueKind.Array
            ? [.. ids.EnumerateArray().Where(static id => id.ValueKind == JsonValueKind.Number && id.TryGetInt64(out _)).Select(static id => id.GetInt64())]
            : [];

    /// <inheritdoc/>
    public override string ToString() => $"{Reason} (HTTP {Status}){(SuggestedRemedy.Length == 0 ? "" : " " + SuggestedRemedy)}";
}

/// <summary>No complete answer came: no connection, a connection cut off, or no answer in time.</summary>
/// <param name="Why">What happened.</param>
/// <param name="Sent">Whether the request may have reached the site.</param>
public sealed record Unreachable(string Why, bool Sent) : ReplyError
{
    /// <inheritdoc/>
    public override bool MayHaveActed => Sent;

    /// <inheritdoc/>
    public override string ToString() => Why;
}

/// <summary>The site said yes, but its answer is not what the protocol promises.</summary>
/// <param name="Status">HTTP status.</param>
/// <param name="Why">What is wrong with it.</param>
public sealed record Garbled(int Status, string Why) : ReplyError
{
    /// <inheritdoc/>
    public override bool MayHaveActed => true;

    /// <inheritdoc/>
    public override string ToString() => $"The answer (HTTP {Status}) could not be understood: {Why}";
}
