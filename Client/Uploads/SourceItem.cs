using Librarian.Client.DataBatches;

namespace Librarian.Client.Uploads;

/// <summary>A local file or directory that is sent as part of a data batch.</summary>
internal sealed class SourceItem : BatchItem
{
    private readonly SourceTree _tree;
    private readonly List<BatchMember> _members;

    /// <param name="transferId">The upload's transfer.</param>
    /// <param name="tree">The source.</param>
    internal SourceItem(long transferId, SourceTree tree)
        : base(transferId, tree.TotalSize, ChecksumAlgorithm.Xxh3)
    {
        _tree = tree;
        _members =
        [
            .. tree.Directories.Select(static d => new BatchMember(BatchMemberType.Directory, d)),
            .. tree.Files.Select(f => new BatchMember(BatchMemberType.File, f.Path, f.Size)),
        ];
        _members.Sort(static (a, b) => OrderOf(a).AsSpan().SequenceCompareTo(OrderOf(b)));
    }

    /// <inheritdoc/>
    public override bool IsDirectory => _tree.IsDirectory;

    /// <inheritdoc/>
    public override IEnumerable<BatchMember> Members() => _members;

    /// <inheritdoc/>
    public override Stream Open() => new SourceStream(_tree, _members);

    /// <summary>A directory's members come right after it when "/" is the smallest byte; names have no zero byte.</summary>
    private static byte[] OrderOf(in BatchMember member)
    {
        var bytes = PathBytes.ToZeroTerminated(member.Path)[..^1];
        bytes.AsSpan().Replace((byte)'/', (byte)0);
        return bytes;
    }
}
