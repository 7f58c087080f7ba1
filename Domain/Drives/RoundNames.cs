using Librarian.Domain.Catalog;
using Librarian.Domain.Stores;

namespace Librarian.Domain.Drives;

/// <summary>Compares the names of a round with what a medium can hold that does not hold every name or size.</summary>
/// <param name="medium">The drive.</param>
/// <param name="names">Which names and sizes it can hold.</param>
internal sealed class RoundNames(OpenDrive medium, MediumNames names)
{
    /// <summary>Names and directories of this round, compared as a case-insensitive medium compares them.</summary>
    private readonly Dictionary<string, string> _folded = new(StringComparer.OrdinalIgnoreCase);

    /// <summary>Directories on the drive whose names were found to match exactly.</summary>
    private readonly HashSet<string> _exact = new(StringComparer.Ordinal);

    /// <summary>Why this medium cannot hold a file, as a half sentence; null when name and size allow it.</summary>
    /// <param name="name">The file.</param>
    /// <param name="size">Its bytes.</param>
    /// <param name="cancellationToken">Cancels.</param>
    internal async Task<string?> WhyUnheldAsync(FileName name, long size, CancellationToken cancellationToken)
    {
        if (names.Refusal(name.Value) is { } refusal)
            return refusal;
        if (size > names.LargestFile)
            return "it is larger than the drive's file system allows";
        if (!names.IsCaseInsensitive)
            return null;
        string[] parts = [.. NestedNames.Ancestors(name.Value), name.Value];
        foreach (var part in parts)
        {
            if (_folded.TryGetValue(part, out var other) && other != part)
                return $"the drive takes it for the same as '{other.Shown()}'";
        }

        if (await medium.Store.OtherNameAsync(name, _exact, cancellationToken) is { } taken)
            return $"the drive holds another name that it takes for the same as '{taken.Shown()}'";
        foreach (var part in parts)
            _folded.TryAdd(part, part);
        return null;
    }
}
