namespace Librarian.Orchestrations.Drives;

/// <summary>A drive that was plugged in here.</summary>
/// <param name="Path">Absolute path of the drive's mount point.</param>
/// <param name="AcceptKey">Fingerprint that an administrator has compared.</param>
/// <param name="UpstreamManifest">Absolute path of a Python Librarian's manifest; null for a drive with a marker.</param>
/// <param name="StoreRoot">Directory of the files on a Python Librarian's drive; null: <paramref name="Path"/>.</param>
/// <param name="AllowUnsigned">Whether an unsigned manifest is acceptable.</param>
public sealed record PluggedDrive(string Path, string? AcceptKey, string? UpstreamManifest, string? StoreRoot, bool AllowUnsigned);
