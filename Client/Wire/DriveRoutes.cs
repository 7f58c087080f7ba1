namespace Librarian.Client.Wire;

/// <summary>Paths of this project's own endpoints for drives, below <see cref="Routes.Prefix"/>; all are POST (docs/drives.md).</summary>
public static class DriveRoutes
{
    /// <summary>drives/initialise.</summary>
    public const string Initialise = "drives/initialise";

    /// <summary>drives/list.</summary>
    public const string List = "drives/list";

    /// <summary>drives/freeze.</summary>
    public const string Freeze = "drives/freeze";

    /// <summary>drives/manifest; answers bytes.</summary>
    public const string Manifest = "drives/manifest";

    /// <summary>drives/recycle.</summary>
    public const string Recycle = "drives/recycle";

    /// <summary>drives/ingest.</summary>
    public const string IngestDrive = "drives/ingest";

    /// <summary>drives/arrival_files.</summary>
    public const string ArrivalFiles = "drives/arrival_files";

    /// <summary>drives/receipt; answers bytes.</summary>
    public const string Receipt = "drives/receipt";

    /// <summary>drives/acknowledge; takes bytes.</summary>
    public const string Acknowledge = "drives/acknowledge";

    /// <summary>drives/delivered.</summary>
    public const string Delivered = "drives/delivered";

    /// <summary>drives/key.</summary>
    public const string Key = "drives/key";
}
