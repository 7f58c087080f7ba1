using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace Librarian.Domain.Accounts;

/// <summary>Settings of <see cref="VerifiedCredentialCache"/>.</summary>
public sealed record VerifiedCredentialCacheOptions
{
    /// <summary>Most credentials remembered; the oldest are forgotten first.</summary>
    public int MaxEntries { get; init; } = 1024;

    /// <summary>How long a credential is remembered after its verification.</summary>
    public TimeSpan Lifetime { get; init; } = TimeSpan.FromMinutes(5);
}

/// <summary>
/// Remembers that a password was verified, because clients send it with every request (wire.md §2.1) and Argon2 is slow on purpose.
/// It holds no passwords: only an HMAC under a key that dies with the process, over the user, the password, the stored hash and
/// the level. A change of any of these is forgotten by itself. Wrong passwords are never remembered.
/// </summary>
public sealed class VerifiedCredentialCache(TimeProvider time, VerifiedCredentialCacheOptions? options = null)
{
    private readonly VerifiedCredentialCacheOptions _options = options ?? new VerifiedCredentialCacheOptions();
    private readonly byte[] _key = RandomNumberGenerator.GetBytes(32);
    private readonly Lock _lock = new();
    private readonly Dictionary<Mac, DateTimeOffset> _expiryUtc = [];
    private readonly Queue<Mac> _oldestFirst = new();

    /// <summary>Credentials remembered now, expired ones included until they are in the way.</summary>
    public int Count
    {
        get
        {
            lock (_lock)
                return _expiryUtc.Count;
        }
    }

    /// <summary>Whether exactly this was verified within the lifetime.</summary>
    public bool IsVerified(string user, string password, string storedHash, AuthLevel level)
    {
        var mac = Compute(user, password, storedHash, level);
        lock (_lock)
            return _expiryUtc.TryGetValue(mac, out var expiry) && time.GetUtcNow() < expiry;
    }

    /// <summary>Remembers a credential that was just verified.</summary>
    public void Remember(string user, string password, string storedHash, AuthLevel level)
    {
        var mac = Compute(user, password, storedHash, level);
        var now = time.GetUtcNow();
        lock (_lock)
        {
            // Lifetimes are equal, so the order of insertion is the order of expiry.
            while (_oldestFirst.TryPeek(out var oldest) && (_expiryUtc.Count >= _options.MaxEntries || _expiryUtc[oldest] <= now))
                _expiryUtc.Remove(_oldestFirst.Dequeue());
            if (_options.MaxEntries > 0 && _expiryUtc.TryAdd(mac, now + _options.Lifetime))
                _oldestFirst.Enqueue(mac);
        }
    }

    private Mac Compute(string user, string password, string storedHash, AuthLevel level)
    {
        using var hmac = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, _key);
        Span<byte> number = stackalloc byte[4];
        foreach (var text in (ReadOnlySpan<string>)[user, password, storedHash])
        {
            // The length in front keeps "a","bc" apart from "ab","c".
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
