using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Librarian.Domain.Stores;

/// <summary>
/// Tells two sets of members apart without keeping either: the sum, modulo 2^256, of a SHA-256 per member over its path, size and digest.
/// The sum does not depend on the order, so any number of reader threads may produce the members.
/// </summary>
public sealed class MemberFingerprint
{
    private readonly ulong[] _sum = new ulong[4];

    public long Count { get; private set; }

    /// <summary>Adds one member; not thread-safe.</summary>
    public void Add(string path, long size, string digest)
    {
        Span<byte> hash = stackalloc byte[32];
        // Hashes the bytes of the path, because two names that are not UTF-8 are two members.
        SHA256.HashData(
            [
                .. PathBytes.ToZeroTerminated(path),
                .. Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{size}\0{digest}")),
            ],
            hash
        );
        UInt128 carry = 0;
        for (var i = 0; i < 4; i++)
        {
            carry += (UInt128)_sum[i] + BitConverter.ToUInt64(hash.Slice(i * 8, 8));
            _sum[i] = (ulong)carry;
            carry >>= 64;
        }

        Count++;
    }

    /// <inheritdoc />
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{Count}:{_sum[3]:x16}{_sum[2]:x16}{_sum[1]:x16}{_sum[0]:x16}");
}
