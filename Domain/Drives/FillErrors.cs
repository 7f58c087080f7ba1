using Librarian.Domain.Catalog;
using Librarian.Domain.Errors;
using Librarian.Domain.Stores;
using Microsoft.Extensions.Logging;

namespace Librarian.Domain.Drives;

/// <summary>Records in logs which files were not put on a drive.</summary>
public sealed class FillErrors(ErrorLog errors, ILogger<DriveFilling> log)
{
    /// <summary>Code for a file that one drive cannot hold and another may.</summary>
    public const string UnfitCode = "drive.cannot_hold";

    private const int MaxListed = 10;

    /// <summary>Files that no drive can hold.</summary>
    internal async Task RaiseUnusableAsync(List<(string Name, string Why)> files, CancellationToken cancellationToken)
    {
        foreach (var (name, refusal) in files)
        {
            await errors.RaiseAsync(
                ErrorSeverity.Error,
                ErrorCategory.DataAvailability,
                $"drive name {name}",
                $"'{name}' is not put on drives: {refusal}. Nothing was lost; ingest it again under another name, or send it over a link.",
                cancellationToken
            );
        }
    }

    /// <summary>Files that this drive cannot hold.</summary>
    internal async Task RaiseUnfitAsync(Drive drive, List<(string Name, string Why)> files, CancellationToken cancellationToken)
    {
        if (files.Count == 0)
            return;
        foreach (var (name, why) in files)
            Logs.NotPutOn(log, name, drive.Name, UnfitCode, why);
        var listed = string.Join("; ", files.Take(MaxListed).Select(f => $"'{f.Name}': {f.Why}"));
        // One entry per drive: all file names of an instrument may have the same problem.
        await errors.RaiseAsync(
            ErrorSeverity.Warning,
            ErrorCategory.DataAvailability,
            $"drive {drive.Name} cannot hold",
            $"{files.Count} files are not put on drive '{drive.Name}': this drive cannot hold them [{UnfitCode}]. "
                + $"{listed}{(files.Count > MaxListed ? "; and more" : "")}. "
                + "Nothing was lost and nothing else is held up; they wait for another drive. "
                + "Initialise one with a Linux file system (ext4, XFS), or send them over a link.",
            cancellationToken
        );
    }

    /// <summary>Files whose copy failed.</summary>
    internal async Task RaiseFailedAsync(
        Drive drive,
        List<(ReservedFile File, AdditionResult Result)> results,
        CancellationToken cancellationToken
    )
    {
        foreach (
            var (file, result) in results.Where(r =>
                r.Result.Status is not (AdditionStatus.Added or AdditionStatus.NoSpace or AdditionStatus.Unfit)
            )
        )
        {
            Logs.NotPutOn(log, file.Row.FileName, drive.Name, result.Status.ToString(), result.Message);
            var damaged = result.Status is AdditionStatus.SourceDiffers or AdditionStatus.SourceMissing;
            await errors.RaiseAsync(
                ErrorSeverity.Error,
                damaged ? ErrorCategory.DataIntegrity : ErrorCategory.DataAvailability,
                damaged ? $"drive source {file.Row.FileName}" : $"drive {drive.Name} {result.Status}",
                $"'{file.Row.FileName}' was not put on drive '{drive.Name}' ({result.Status}): {result.Message} "
                    + "Nothing of it stayed on the drive; "
                    + $"it is tried again later{(result.Status == AdditionStatus.SourceDiffers ? ", with an intact copy" : "")}.",
                cancellationToken
            );
        }
    }
}
