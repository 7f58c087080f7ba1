namespace Librarian.Domain.Stores;

public sealed record AdditionOptions
{
    /// <summary>
    /// How many files are copied at the same time. Default: 2. Small files are read back with four times as many threads. Use 1 for a
    /// single slow disk; then this does not apply.
    /// </summary>
    public int Parallelism { get; init; } = 2;

    /// <summary>Directory for the lists of members; null if no lists are wanted.</summary>
    public string? SpoolDirectory { get; init; }

    /// <summary>Receives the number of bytes copied since the last call, from several threads.</summary>
    public Action<long>? OnBytes { get; init; }

    /// <summary>
    /// Returns why a member of a directory may not be taken, by its path; null accepts the member. The directory is then
    /// <see cref="AdditionStatus.Refused"/>.
    /// </summary>
    public Func<string, string?>? RefuseMember { get; init; }

    /// <summary>
    /// Returns why the medium cannot hold a member of a directory, by its path; null accepts the member. The directory is then
    /// <see cref="AdditionStatus.Unfit"/>.
    /// </summary>
    public Func<string, string?>? UnfitMember { get; init; }

    /// <summary>
    /// Called before each file is begun. False (the store is not mounted) ends the batch: files not yet begun are
    /// <see cref="AdditionStatus.IoError"/>.
    /// </summary>
    public Func<bool>? MayWrite { get; init; }
}
