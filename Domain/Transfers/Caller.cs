namespace Librarian.Domain.Transfers;

/// <summary>An authenticated caller.</summary>
/// <param name="Username">Account name; for a peer its site name.</param>
/// <param name="Level">What it may do.</param>
public sealed record Caller(string Username, AuthLevel Level)
{
    /// <summary>Exactly level 100 (docs/spec/wire.md#levels).</summary>
    public bool IsAdmin => Level == AuthLevel.Admin;
}
