using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace Librarian.Domain.Accounts;

public sealed record VerifiedCredentialCacheOptions
{
    /// <summary>Most remembered credentials; the oldest are forgotten first.</summary>
    public int MaxEntries { get; init; } = 1024;

    /// <summary>How long a credential is remembered after its verification.</summary>
    public TimeSpan Lifetime { get; init; } = TimeSpan.FromMinutes(5);
}

/// <summary>
/// Remembers that a password was verified, because clients send it with every request (docs/spec/wire.md#basic-authentication) and Argon2
/// is slow on purpose. The cache holds no passwords, only an HMAC over user, password, stored hash and level, under a key that ends with
/// the process. A change of any of these no longer matches. Wrong passwords are never remembered.
/// </summary>
public sealed class VerifiedCredentialCache(TimeProvider time, VerifiedCredentialCacheOptions? options = null)
{
    private readonly VerifiedCredentialCacheOptions _options = options ?? new VerifiedCredentialCacheOptions();
    private readonly byte[] _key = RandomNumberGenerator.GetBytes(32);
    private readonly Lock _lock = new();

    // Elapsed time, not clock time: a clock that is set back must not extend a lifetime.
    private readonly Dictionary<Mac, long> _verifiedAt = [];
    private readonly Queue<Mac> _oldestFirst = new();

    /// <summary>Remembered credentials, including expired ones that have not been removed yet.</summary>
    public int Count
    {
        get
        {
            lock (_lock)
                return _verifiedAt.Count;
        }
    }

    /// <summary>Whether exactly this credential was verified within the lifetime.</summary>
    public bool IsVerified(string user, string password, string storedHash, AuthLevel level)
    {
        var mac = Compute(user, password, storedHash, level);
        lock (_lock)
            return _verifiedAt.TryGetValue(mac, out var at) && time.GetElapsedTime(at) < _options.Lifetime;
    }

    public void Remember(string user, string password, string storedHash, AuthLevel level)
    {
        var mac = Compute(user, password, storedHash, level);
        lock (_lock)
        {
            // Lifetimes are equal, so the order of insertion is the order of expiry.
            while (
                _oldestFirst.TryPeek(out var oldest)
                && (_verifiedAt.Count >= _options.MaxEntries || time.GetElapsedTime(_verifiedAt[oldest]) >= _options.Lifetime)
            )
                _verifiedAt.Remove(_oldestFirst.Dequeue());
            if (_options.MaxEntries > 0 && _verifiedAt.TryAdd(mac, time.GetTimestamp()))
                _oldestFirst.Enqueue(mac);
        }
    }

    private Mac Compute(string user, string password, string storedHash, AuthLevel level)
    {
        using var hmac = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, _key);
        Span<byte> number = stackalloc byte[4];
        foreach (var text in (ReadOnlySpan<string>)[user, password, storedHash])
        {
            // The length prefix distinguishes "a","bc" from "ab","c".
            var bytes = Encoding.UTF8.GetBytes(text);
            BinaryPrimitives.WriteInt32BigEndian(number, bytes.Length);
            hmac.AppendData(number);
            hmac.AppendData(bytes);
        }

        BinaryPrimitives.WriteInt32BigEndian(number, (int)level);
        hmac.AppendData(number);
        Span<byte> mac = stackalloc byte[32];
        hmac.GetHashAndReset(mac);
        return new Mac(BinaryPrimitives.ReadUInt128BigEndian(mac), BinaryPrimitives.ReadUInt128BigEndian(mac[16..]));
    }

    private readonly record struct Mac(UInt128 High, UInt128 Low);
}
