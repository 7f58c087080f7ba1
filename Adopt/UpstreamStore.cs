using Librarian.Domain.Configuration;

namespace Librarian.Adopt;

/// <summary>A store of the source, with its contents.</summary>
/// <param name="Id">Its id there, which peers know.</param>
/// <param name="Name">Its name.</param>
/// <param name="Enabled">Whether it was switched on.</param>
/// <param name="Copies">Copies on it.</param>
/// <param name="Available">Copies that are marked available.</param>
/// <param name="Arriving">Unfinished transfers to it.</param>
/// <param name="Settings">This site's configuration of that name.</param>
internal sealed record UpstreamStore(
    long Id,
    string Name,
    bool Enabled,
    long Copies,
    long Available,
    long Arriving,
    StoreOptions? Settings
);
