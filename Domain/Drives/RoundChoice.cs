using Librarian.Domain.Catalog;
using Librarian.Domain.Stores;

namespace Librarian.Domain.Drives;

/// <summary>The files that one round puts on a drive, chosen from those that wait, and their rows.</summary>
/// <param name="drive">The drive.</param>
/// <param name="stores">The site's stores.</param>
/// <param name="names">Names of the round, for a medium that does not hold every name; null for one that does.</param>
/// <param name="room">Bytes for further files.</param>
/// <param name="now">UTC time.</param>
internal sealed class RoundChoice(Drive drive, SiteStores stores, RoundNames? names, long room, DateTime now)
{
    private const long RoundBytes = 4L << 30;

    private long _room = room;
    private long _bytes;

    /// <summary>The chosen files.</summary>
    internal List<ChosenFile> Files { get; } = [];

    /// <summary>Rows that are new in the catalog, of whatever outcome.</summary>
    internal List<DriveContent> Fresh { get; } = [];

    /// <summary>Files that no drive can hold under their names.</summary>
    internal List<(string Name, string Why)> Unusable { get; } = [];

    /// <summary>Files that another drive may hold.</summary>
    internal List<(string Name, string Why)> Unheld { get; } = [];

    /// <summary>Chooses from a page of files, in their order; smaller ones follow when the next one does not fit.</summary>
    /// <param name="page">The files.</param>
    /// <param name="failedBefore">Tracked rows of files that failed on this drive before; they are changed.</param>
    /// <param name="cancellationToken">Cancels.</param>
    internal async Task ChooseAsync(
        IReadOnlyList<WaitingFile> page,
        IReadOnlyDictionary<string, DriveContent> failedBefore,
        CancellationToken cancellationToken
    )
    {
        foreach (var file in page)
        {
            if (Files.Count > 0 && _bytes + file.Size > RoundBytes)
                break;
            if (FreeSpace.TakenBy(file.Size) <= _room)
                await ChooseAsync(file, RowOf(file, failedBefore), cancellationToken);
        }
    }

    private DriveContent RowOf(WaitingFile file, IReadOnlyDictionary<string, DriveContent> failedBefore)
    {
        var addition = Guid.NewGuid();
        if (failedBefore.TryGetValue(file.Name, out var row))
        {
            (row.State, row.AdditionId, row.RetryAfter) = (DriveContentState.Copying, addition, null);
            return row;
        }

        row = new DriveContent
        {
            DriveRow = drive.Id,
            FileName = file.Name,
            Destination = drive.Destination,
            State = DriveContentState.Copying,
            AdditionId = addition,
            Size = file.Size,
        };
        Fresh.Add(row);
        return row;
    }

    private async Task ChooseAsync(WaitingFile file, DriveContent row, CancellationToken cancellationToken)
    {
        var refusal = LineRules.FileRefusal(file.Name, file.Checksum, file.Uploader, file.Source);
        var copy = file.Copies.Find(i => stores.Find(i.StoreId) is not null) ?? file.Copies[0];
        FileName? source = null;
        if (!FileName.TryParse(file.Name, out var name, out _) || !FileName.TryParse(copy.Path, out source, out _) || refusal is not null)
        {
            (row.State, row.RetryAfter) = (DriveContentState.Failed, now + WaitingFiles.LongestRest);
            Unusable.Add(
                (
                    file.Name,
                    refusal
                        ?? (
                            source is null && name is not null
                                ? $"its copy at {copy.Path} lies outside its store"
                                : "it is no name in a store"
                        )
                )
            );
            return;
        }

        if (names is not null && await names.WhyUnheldAsync(name, file.Size, cancellationToken) is { } why)
        {
            (row.State, row.RetryAfter) = (DriveContentState.Failed, now + WaitingFiles.UnfitRest);
            Unheld.Add((file.Name, why));
            return;
        }

        _room -= FreeSpace.TakenBy(file.Size);
        _bytes += file.Size;
        Files.Add(new ChosenFile(source, name, file.Checksum, copy));
    }
}

/// <summary>A file that a round takes, and the copy that it reads.</summary>
internal sealed record ChosenFile(FileName Source, FileName Name, string Checksum, WaitingCopy Copy);
