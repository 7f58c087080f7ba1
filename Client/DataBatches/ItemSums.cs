namespace Librarian.Client.DataBatches;

/// <summary>Checksum and tree digest of an item (docs/spec/wire.md#directory-checksum, docs/formats/tree-digest-v1.md).</summary>
internal sealed class ItemSums(BatchItem item) : IDisposable
{
    private readonly MultiHash _hash = new([item.Algorithm]);
    private readonly MemberDigests _contents = new(item.Algorithm.DigestLength());
    private readonly TreeDigest? _names = item is { IsDirectory: true, Algorithm: ChecksumAlgorithm.Xxh3 } ? new TreeDigest() : null;
    private Checksum _last;

    public void Dispose() => _hash.Dispose();

    internal void Append(ReadOnlySpan<byte> bytes) => _hash.Append(bytes);

    /// <summary>Ends a member, after its bytes.</summary>
    internal void End(in BatchMember member)
    {
        var path = PathBytes.ToZeroTerminated(member.Path).AsSpan()[..^1];
        if (member.Type == BatchMemberType.Directory)
            _names?.AddDirectory(path);
        if (member.Type != BatchMemberType.File)
            return;
        Span<byte> digest = stackalloc byte[64];
        var content = _hash.FinishAndReset(0, digest);
        _last = Contracts.Checksum.FromDigest(item.Algorithm, content);
        _contents.Add(content);
        _names?.AddFile(path, member.Size, content);
    }

    internal string Checksum() => item.IsDirectory ? _contents.Combine(item.Algorithm).Text : _last.Text;

    internal string? TreeDigest() => _names?.Combine();
}
