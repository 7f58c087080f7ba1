using Librarian.Domain.Catalog;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Drives;

/// <summary>Says why nothing, or one file not, could be put on a drive.</summary>
public sealed class FillObstacles(CatalogDatabase database, SiteStores stores, TimeProvider time)
{
    /// <summary>
    /// The reason why nothing is copied to the drive. One statement decides that a drive is full, because between two a file may arrive
    /// that fits. Full means that some waiting file would fit if the drive were empty; a file that no drive of this size can hold never
    /// makes one full.
    /// </summary>
    internal static async Task<FillResult> NothingFitsAsync(
        CatalogContext db,
        Drive drive,
        FreeSpace at,
        DateTime now,
        CancellationToken cancellationToken
    )
    {
        var (largest, ever) = (at.Largest, at.LargestEver);
        var waiting = await WaitingFiles
            .Of(db, drive, now)
            .Where(f => f.Size <= ever)
            .OrderBy(f => f.Size)
            .Select(f => new { f.Name, f.Size })
            .FirstOrDefaultAsync(cancellationToken);
        if (waiting is not null)
        {
            return waiting.Size <= largest
                ? FillResult.Nothing(FillOutcome.More, $"'{waiting.Name}' has come meanwhile.")
                : FillResult.Nothing(
                    FillOutcome.Full,
                    $"The smallest file that waits has {waiting.Size} bytes; {Math.Max(0, at.Free)} are left."
                );
        }

        var tooLarge = await WaitingFiles
            .Of(db, drive, now)
            .Where(f => f.Size > ever)
            .OrderBy(f => f.Size)
            .Select(f => new { f.Name, f.Size })
            .FirstOrDefaultAsync(cancellationToken);
        return tooLarge is null
            ? FillResult.Nothing(FillOutcome.Idle, "Every file is on its way or at its destination.")
            : FillResult.Nothing(FillOutcome.Trouble, TooLarge(drive, tooLarge.Name, tooLarge.Size, ever));
    }

    /// <summary>
    /// Handles a file that needed more space than its size (a directory of many small files) and pauses now. The drive is full only if no
    /// other waiting file fits and an empty drive of this size would hold the file.
    /// </summary>
    internal async Task<FillResult> MisfitAsync(Drive drive, OpenDrive medium, ReservedFile misfit, CancellationToken cancellationToken)
    {
        var now = time.GetUtcNow().UtcDateTime;
        await using var db = database.Open();
        if (await FreeSpace.OfAsync(db, drive, medium, cancellationToken) is not { } at)
            return FillResult.NotPlugged(drive);
        var (largest, name) = (at.Largest, misfit.Row.FileName);
        if (await WaitingFiles.Of(db, drive, now).AnyAsync(f => f.Size <= largest, cancellationToken))
            return FillResult.Nothing(
                FillOutcome.More,
                $"'{name}' needs more space than its {misfit.Row.Size} bytes; what else waits goes on."
            );
        var need = await NeedAsync(misfit, cancellationToken);
        return at.Files > 0 && need <= at.FreeWhenEmpty
            ? FillResult.Nothing(FillOutcome.Full, $"Drive '{drive.Name}' has no space for '{name}'.")
            : FillResult.Nothing(FillOutcome.Trouble, TooLarge(drive, name, Math.Max(need, misfit.Row.Size), at.FreeWhenEmpty));
    }

    /// <summary>Estimates the bytes that a file needs on a drive: whole blocks, and a block for each directory.</summary>
    private async Task<long> NeedAsync(ReservedFile file, CancellationToken cancellationToken)
    {
        if (stores.Find(file.SourceStore)?.Locate(file.Source) is not { } path || !Directory.Exists(path))
            return file.Row.Size + FreeSpace.SpacePerFile;
        try
        {
            return await Task.Run(
                () =>
                    new DirectoryInfo(path)
                        .EnumerateFileSystemInfos("*", SearchOption.AllDirectories)
                        .Aggregate(FreeSpace.SpacePerFile, (sum, entry) =>
                        {
                            cancellationToken.ThrowIfCancellationRequested();
                            return sum + FreeSpace.SpacePerFile + (entry is FileInfo member ? member.Length + FreeSpace.ReservePerFile : 0);
                        }),
                cancellationToken
            );
        }
        // The data change or cannot be read: the next attempt handles that.
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return file.Row.Size + FreeSpace.SpacePerFile;
        }
    }

    private static string TooLarge(Drive drive, string name, long bytes, long most) =>
        $"'{name}' of {bytes} bytes does not fit on drive '{drive.Name}' even when it is empty ({Math.Max(0, most)} bytes), "
        + $"nor does anything larger that waits for '{drive.Destination}'. "
        + "It waits for a larger drive or a link; this drive takes everything else.";
}
