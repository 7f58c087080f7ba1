using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace Librarian.Domain.Accounts;

/// <summary>Cost of an Argon2id computation. The defaults are OWASP's minimum for servers.</summary>
/// <param name="MemoryKiB">Memory one computation needs, in KiB.</param>
/// <param name="Iterations">Passes over that memory.</param>
/// <param name="Parallelism">Lanes.</param>
public sealed record Argon2Cost(int MemoryKiB = 19456, int Iterations = 2, int Parallelism = 1);

/// <summary>
/// A stored Argon2id password hash in PHC form, <c>$argon2id$v=19$m=…,t=…,p=…$salt$hash</c> with unpadded base64, as argon2-cffi
/// writes it (docs/spec/wire.md#basic-authentication).
/// </summary>
public sealed class PasswordHash
{
    // Limits for a row that somebody tampered with: a login must not be able to take all memory.
    private const int MaxMemoryKiB = 1 << 20;
    private const int MaxIterations = 64;
    private const int MaxParallelism = 64;
    private const int MaxBytes = 128;

    private PasswordHash(Argon2Cost cost, byte[] salt, byte[] hash)
    {
        Cost = cost;
        Salt = salt;
        Hash = hash;
    }

    public Argon2Cost Cost { get; }

    internal byte[] Salt { get; }

    internal byte[] Hash { get; }

    /// <summary>Reads a stored hash; false for any text that is not an Argon2id hash of version 19 within these limits.</summary>
    public static bool TryParse(string? text, [NotNullWhen(true)] out PasswordHash? hash)
    {
        hash = null;
        if (text?.Split('$') is not ["", "argon2id", "v=19", var parameters, var salt, var digest])
            return false;
        if (
            parameters.Split(',') is not [var memory, var iterations, var parallelism]
            || !TryParameter(memory, "m=", MaxMemoryKiB, out var m)
            || !TryParameter(iterations, "t=", MaxIterations, out var t)
            || !TryParameter(parallelism, "p=", MaxParallelism, out var p)
            || m < 8 * p
        )
            return false;
        if (!TryBase64(salt, out var saltBytes) || saltBytes.Length < 8 || !TryBase64(digest, out var hashBytes) || hashBytes.Length < 4)
            return false;
        hash = new PasswordHash(new Argon2Cost(m, t, p), saltBytes, hashBytes);
        return true;
    }

    /// <summary>The PHC string.</summary>
    public override string ToString() =>
        string.Create(
            CultureInfo.InvariantCulture,
            $"$argon2id$v=19$m={Cost.MemoryKiB},t={Cost.Iterations},p={Cost.Parallelism}${Base64(Salt)}${Base64(Hash)}"
        );

    internal static PasswordHash Create(Argon2Cost cost, byte[] salt, byte[] hash) => new(cost, salt, hash);

    private static bool TryParameter(string text, string key, int max, out int value)
    {
        value = 0;
        return text.StartsWith(key, StringComparison.Ordinal)
            && int.TryParse(text.AsSpan(key.Length), NumberStyles.None, CultureInfo.InvariantCulture, out value)
            && value >= 1
            && value <= max;
    }

    private static bool TryBase64(string text, out byte[] bytes)
    {
        bytes = new byte[MaxBytes];
        if (
            text.Contains('=', StringComparison.Ordinal)
            || !Convert.TryFromBase64String(text.PadRight((text.Length + 3) / 4 * 4, '='), bytes, out var length)
        )
            return false;
        bytes = bytes[..length];
        return true;
    }

    private static string Base64(byte[] bytes) => Convert.ToBase64String(bytes).TrimEnd('=');
}
