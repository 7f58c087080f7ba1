using System.Buffers.Binary;
using System.IO.Hashing;
using System.Text;

namespace Librarian.Client.Uploads;

/// <summary>
/// Computes the tree digest of a directory (docs/formats/tree-digest-v1.md) over contents and names, added in any order. Holds 16 bytes per
/// member.
/// </summary>
internal sealed class TreeNames
{
    private readonly List<UInt128> _records = [];

    /// <summary>Adds a file.</summary>
    /// <param name="path">Relative to the directory, as bytes.</param>
    /// <param name="size">Size in bytes.</param>
    /// <param name="content">XXH3-128 of the file's content.</param>
    internal void AddFile(ReadOnlySpan<byte> path, long size, ReadOnlySpan<byte> content)
    {
        var record = new byte[25 + path.Length];
        record[0] = (byte)'f';
        BinaryPrimitives.WriteInt64LittleEndian(record.AsSpan(1), size);
        content.CopyTo(record.AsSpan(9));
        path.CopyTo(record.AsSpan(25));
        _records.Add(XxHash128.HashToUInt128(record));
    }

    /// <summary>Adds a subdirectory.</summary>
    /// <param name="path">Relative to the directory, as bytes.</param>
    internal void AddDirectory(ReadOnlySpan<byte> path) => _records.Add(XxHash128.HashToUInt128([(byte)'d', .. path]));

    /// <summary>The digest of all members that were added.</summary>
    /// <returns><c>tree1:::</c> and 32 lower-case hexadecimal digits.</returns>
    internal string ToText()
    {
        _records.Sort();
        var hash = new XxHash128();
        foreach (var record in _records)
            hash.Append(Encoding.ASCII.GetBytes(record.ToString("x32", System.Globalization.CultureInfo.InvariantCulture)));
        return "tree1:::" + Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
