namespace Librarian.Domain.Checksums;

public sealed record DigestOptions
{
    /// <summary>How many files of a directory are read at the same time. Default: 4.</summary>
    public int MaxParallelism { get; init; } = 4;

    /// <summary>
    /// Whether every file and directory is also flushed to disk, so that verified data survive a power cut. A file is flushed before it is
    /// read: from then on the kernel notices every further write, also one through a mapping, and changes the file's time.
    /// </summary>
    public bool FlushToDisk { get; init; }

    /// <summary>
    /// Whether each file's pages are dropped from memory before it is read, so that the data come from the medium and not from the page
    /// cache. The data must have been flushed, because dirty pages are not dropped. It has no effect on a file system that keeps everything
    /// in memory (tmpfs).
    /// </summary>
    public bool FromMedium { get; init; }

    /// <summary>
    /// Whether nobody else may write the data afterwards, because they are to be renamed into a store: group and others lose write
    /// permission, and the superuser's process becomes the owner. Entries that others can still write are noted in the result and have to
    /// be copied.
    /// </summary>
    public bool TakeOver { get; init; }

    /// <summary>
    /// Upper limit of bytes to read, for data of known size: data that are longer, or that grow for ever, end as
    /// <see cref="DigestStatus.Changed"/> instead of filling a store. Null: no limit.
    /// </summary>
    public long? MaxBytes { get; init; }

    /// <summary>
    /// Returns true for the path of a directory entry that is not part of the data; it is neither read nor copied. Called on one thread.
    /// </summary>
    public Func<string, bool>? LeaveOut { get; init; }

    /// <summary>
    /// Called for each regular file that was read, one call at a time and in no order. Not called after the pass has failed.
    /// </summary>
    public Action<MemberDigest>? OnMember { get; init; }
}
