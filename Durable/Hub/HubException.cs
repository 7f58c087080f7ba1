using System.Data.Common;

namespace Librarian.Durable.Hub;

/// <summary>
/// The Durable Task hub did not execute a request. The message begins with <see cref="Code"/> and says what to do. It is a
/// <see cref="DbException"/> because the hub takes the place of the database: code that handles an unavailable database handles an
/// unavailable hub in the same way.
/// </summary>
public sealed class HubException : DbException
{
    /// <summary>The hub cannot be reached or does not answer; the same request may succeed later.</summary>
    public const string Unavailable = "HubUnavailable";

    /// <summary>No hub, or not this one, supports the request.</summary>
    public const string Unsupported = "HubUnsupported";

    /// <summary>The hub answered with an error.</summary>
    public const string Failed = "HubFailed";

    internal HubException(string code, string message, Exception? cause = null)
        : base($"{code}: {message}", cause) => Code = code;

    /// <summary>One of the constants; their values are stable.</summary>
    public string Code { get; }

    /// <inheritdoc/>
    public override bool IsTransient => Code == Unavailable;
}
