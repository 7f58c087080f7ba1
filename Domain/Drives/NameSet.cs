using System.IO.Hashing;
using System.Text;

namespace Librarian.Domain.Drives;

/// <summary>
/// Finds a repeated name among millions: it keeps 128 bits of XXH3 per name, in 256 lists by their first byte, and sorts the lists at the
/// end. It needs about 16 to 32 MB per million names.
/// </summary>
internal sealed class NameSet
{
    // Random, so that nobody can prepare two names with the same hash.
    private readonly long _seed = Random.Shared.NextInt64();
    private readonly List<UInt128>[] _lists = [.. Enumerable.Range(0, 256).Select(_ => new List<UInt128>())];

    internal void Add(string name)
    {
        Span<byte> bytes = stackalloc byte[Encoding.UTF8.GetMaxByteCount(FileName.MaxLength * 2)];
        var hash = XxHash128.HashToUInt128(bytes[..Encoding.UTF8.GetBytes(name, bytes)], _seed);
        _lists[(int)(hash >> 120)].Add(hash);
    }

    internal bool HasDuplicate()
    {
        foreach (var list in _lists)
        {
            list.Sort();
            for (var i = 1; i < list.Count; i++)
            {
                if (list[i] == list[i - 1])
                    return true;
            }
        }

        return false;
    }
}
