using System.Globalization;

namespace Librarian.Domain.Stores;

/// <summary>State of a store's path.</summary>
public enum StoreState
{
    /// <summary>The store is there.</summary>
    Mounted,

    /// <summary>The directory does not exist.</summary>
    NoDirectory,

    /// <summary>The store's staging directory does not exist.</summary>
    NoStaging,

    /// <summary>The directory has no identity, like an empty mount point.</summary>
    NoIdentity,

    /// <summary>The identity file cannot be used.</summary>
    BadIdentity,

    /// <summary>The directory is another store of this site.</summary>
    OtherStore,

    /// <summary>The directory is a store of another site.</summary>
    OtherSite,

    /// <summary>The directory is the store, but a process with another catalog uses it.</summary>
    InUse,

    /// <summary>The file system does not answer.</summary>
    NoAnswer,
}

/// <summary>The result of a check of a store's path.</summary>
/// <param name="State">State of the path.</param>
/// <param name="Found">The identity that was found.</param>
/// <param name="Problem">What is wrong with the identity file, or which process uses the store.</param>
public sealed record StoreFinding(StoreState State, StoreIdentity? Found = null, string? Problem = null)
{
    private const string Untouched = "Nothing was lost, and nothing is read or written there.";
    private const string Moved =
        "If the store has moved, correct its StorePath in Site:Stores and restart the site: its files are found again.";

    /// <summary>Whether the directory is the store.</summary>
    public bool IsMounted => State == StoreState.Mounted;

    /// <summary>Explains the finding, says that nothing was lost, and what to do; null if the directory is the store.</summary>
    /// <param name="store">The store's settings.</param>
    /// <param name="nameOf">Returns the name of this site's store with an identity; null for others.</param>
    public string? Explain(LocalStoreOptions store, Func<Guid, string?>? nameOf = null)
    {
        ArgumentNullException.ThrowIfNull(store);
        var (name, path) = (store.Name, store.RootPath);
        var file = $"{path}/{StoreIdentity.MarkerFileName}";
        return State switch
        {
            StoreState.Mounted => null,
            StoreState.NoDirectory =>
                $"Store '{name}' is not mounted: {path} does not exist. {Untouched} Mount it; the site notices by itself. {Moved}",
            StoreState.NoStaging => $"Store '{name}' is not used: its staging directory {store.StagingPath} does not exist. {Untouched} "
                + "Mount or make it; the site notices by itself.",
            StoreState.NoIdentity =>
                $"Store '{name}' is not mounted: {path} has no identity ({StoreIdentity.MarkerFileName}); an empty mount point has none. "
                    + $"{Untouched} Mount it; the site notices by itself. {Moved}",
            StoreState.BadIdentity => $"Store '{name}' is not used: {file} does not say which store this is: {Problem}. {Untouched} "
                + "If it is the right disk, put the file back: the one line "
                + $"{store.Identity?.StoreId.ToString("D", CultureInfo.InvariantCulture)} is enough.",
            StoreState.OtherStore => $"Store '{name}' is not mounted: {path} holds {Described(nameOf)}. {Untouched} "
                + $"Mount the disk of '{name}' there, or correct the paths in Site:Stores and restart the site.",
            StoreState.OtherSite => $"Store '{name}' is not mounted: {path} holds {Described(nameOf)}. {Untouched} "
                + "Two sites cannot share a store: mount the disk of this site there, "
                + "or correct the paths in Site:Stores and restart the site.",
            StoreState.InUse => $"Store '{name}' is not used: a site with another catalog works on {path} ({Process()}). {Untouched} "
                + "Two catalogs cannot share a store: stop one of the two sites, or give one of them other directories in Site:Stores. "
                + "When the other has ended, the store is taken by itself if it ran on this machine, otherwise with a restart.",
            StoreState.NoAnswer => $"Store '{name}' does not answer: "
                + $"the file system at {path} has not answered for {StoreProbes.ProbeTimeout.TotalSeconds:0} s. {Untouched} "
                + "Bring its server or disk back; the site notices by itself.",
            _ => throw new InvalidOperationException($"{State} has no explanation."),
        };
    }

    private string Process() => Problem!.Split('|') is [var machine, var id, ..] ? $"process {id} on {machine}" : Problem;

    private string Described(Func<Guid, string?>? nameOf)
    {
        var known = Found!.Store ?? nameOf?.Invoke(Found.StoreId);
        return (known is null ? "another store" : $"store '{known}'")
            + (Found.Site is { } site ? $" of site '{site}'" : "")
            + $" ({Found.StoreId:D})";
    }
}
