namespace Librarian.Domain.Drives;

/// <summary>Parameters for the initialisation of a drive.</summary>
/// <param name="Name">Name of the drive and of its store.</param>
/// <param name="Path">Absolute path of the drive's mount point.</param>
/// <param name="Destination">The site that the drive travels to.</param>
/// <param name="FullFraction">Share of the drive that may be filled.</param>
/// <param name="AllowDirectory">True if the path need not be a mount point.</param>
public sealed record NewDrive(string Name, string Path, string Destination, double FullFraction, bool AllowDirectory);
