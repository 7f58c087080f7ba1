using Librarian.Domain.Catalog;

namespace Librarian.Domain.Drives;

/// <summary>A file that a round copies to a drive.</summary>
/// <param name="Row">Its reservation.</param>
/// <param name="Source">Path of the copy in its store.</param>
/// <param name="Name">Its name, and its path on the drive.</param>
/// <param name="Checksum">Its checksum.</param>
/// <param name="SourceCopy">The copy that is read.</param>
/// <param name="SourceStore">The store of that copy.</param>
/// <param name="Policy">Whether copies of it may be deleted.</param>
internal sealed record ReservedFile(
    DriveContent Row,
    FileName Source,
    FileName Name,
    string Checksum,
    long SourceCopy,
    long SourceStore,
    DeletionPolicy Policy
);
