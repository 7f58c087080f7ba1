using System.Diagnostics.CodeAnalysis;
using Librarian.Domain.Catalog;

namespace Librarian.Domain.Transfers;

/// <summary>The declaration of one file as it came over the network.</summary>
/// <param name="Size">Declared bytes.</param>
/// <param name="Checksum">Declared checksum, verbatim.</param>
/// <param name="UploadName">Path inside the staging directory.</param>
/// <param name="DestinationLocation">Name of the new file.</param>
/// <param name="SourceTransferId">The sender's transfer, for clones.</param>
/// <param name="TreeDigest">Tree digest of a directory; null when not sent.</param>
public sealed record DeclaredTransfer(
    long Size,
    string Checksum,
    string UploadName,
    string DestinationLocation,
    long? SourceTransferId = null,
    string? TreeDigest = null
)
{
    /// <summary>Parses the names, once for everything that follows.</summary>
    /// <param name="file">The file.</param>
    /// <param name="problem">One sentence: the field and what is wrong with it.</param>
    internal bool TryParse([NotNullWhen(true)] out IncomingFile? file, [NotNullWhen(false)] out string? problem)
    {
        file = null;
        if (!FileName.TryParse(UploadName, out var uploadName, out var refusal))
            problem = $"upload_name '{UploadName}': {FileName.Describe(refusal)}";
        else if (!FileName.TryParse(DestinationLocation, out var destination, out refusal))
            problem = $"destination_location '{DestinationLocation}': {FileName.Describe(refusal)}";
        else if ((problem = Problem("upload_checksum", Checksum)) is null)
            file = new IncomingFile(Size, Checksum, uploadName, destination, SourceTransferId, TreeDigest);
        return file is not null;
    }

    /// <summary>Says why a text does not fit into a column of the catalog; null if it does.</summary>
    internal static string? Problem(string field, string text) =>
        text.Length is 0 or > CatalogContext.MaxText || text.Any(char.IsControl)
            ? $"{field} must have 1 to 256 characters, none of them control characters."
            : null;
}
