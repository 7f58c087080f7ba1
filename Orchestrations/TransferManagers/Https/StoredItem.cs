using Librarian.Client.DataBatches;
using Librarian.Domain.Stores;

namespace Librarian.Orchestrations.TransferManagers.Https;

/// <summary>A stored file or directory that is sent as part of a data batch.</summary>
/// <param name="file">The file.</param>
/// <param name="isDirectory">Whether it is a directory.</param>
internal sealed class StoredItem(OutgoingFile file, bool isDirectory)
    : BatchItem(file.Transfer.RemoteTransferId!.Value, file.Transfer.TransferSize, file.Expected.Checksum.Algorithm)
{
    /// <summary>The file.</summary>
    internal OutgoingFile File { get; } = file;

    /// <inheritdoc/>
    public override bool IsDirectory => isDirectory;

    /// <inheritdoc/>
    public override IEnumerable<BatchMember> Members()
    {
        using var content = OpenContent();
        foreach (var member in content.Members())
        {
            yield return new BatchMember(
                member.Type switch
                {
                    MemberType.File => BatchMemberType.File,
                    MemberType.Directory => BatchMemberType.Directory,
                    _ => BatchMemberType.Link,
                },
                member.Path,
                member.Size,
                member.IsExecutable,
                member.Target
            );
        }
    }

    /// <inheritdoc/>
    public override Stream Open() => new ContentReader(OpenContent());

    private StoredContent OpenContent() =>
        File.Store.OpenContent(File.Path) ?? throw new FileNotFoundException($"Nothing is at '{File.Path}'.");
}
