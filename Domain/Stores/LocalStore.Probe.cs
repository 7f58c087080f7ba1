using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

/// <summary>The result of a probe of committed data, which does not read them.</summary>
public enum FingerprintStatus
{
    /// <summary>The data exist.</summary>
    Found,

    /// <summary>Nothing has the name, although the store root could be opened.</summary>
    Missing,

    /// <summary>The operating system refused the probe, or the root does not exist; nothing is known.</summary>
    IoError,
}

/// <summary>The outcome of <see cref="LocalStore.FingerprintAsync"/>.</summary>
/// <param name="Status">The result of the probe.</param>
/// <param name="Fingerprint">Stays equal until somebody changes the data; null unless found.</param>
/// <param name="Message">For people.</param>
public sealed record FingerprintResult(FingerprintStatus Status, string? Fingerprint, string Message);

public sealed partial class LocalStore
{
    /// <summary>
    /// Computes the fingerprint of committed data and everything below them without reading them. It costs one status call per member and
    /// constant memory.
    /// </summary>
    public Task<FingerprintResult> FingerprintAsync(FileName path, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(path);
        return BlockingWork.RunAsync(
            () =>
            {
                try
                {
                    using var root = TryOpenRoot(_storeRoot);
                    if (root is null)
                        return new FingerprintResult(FingerprintStatus.IoError, null, $"{_storeRoot} does not exist.");
                    using var parent = TryOpenParent(root, path);
                    return parent is not null && TreeFingerprint.Compute(parent, NameOf(path), cancellationToken) is { } fingerprint
                        ? new FingerprintResult(FingerprintStatus.Found, fingerprint, "")
                        : new FingerprintResult(FingerprintStatus.Missing, null, $"Nothing is at '{path}'.");
                }
                catch (PosixException failure)
                {
                    return new FingerprintResult(FingerprintStatus.IoError, null, failure.Message);
                }
            },
            cancellationToken
        );
    }

    /// <summary>Whether staged data have this name.</summary>
    /// <exception cref="IOException">The operating system refused the check.</exception>
    public Task<bool> IsStagedAsync(Guid stagingName, FileName uploadName, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(uploadName);
        return BlockingWork.RunAsync(
            () =>
            {
                using var root = OpenRoot(_stagingRoot);
                using var parent = TryOpenStagedParent(root, stagingName, uploadName);
                return parent?.Status(NameOf(uploadName)) is not null;
            },
            cancellationToken
        );
    }

    /// <summary>Opens committed data for reading, without following links, on the caller's thread.</summary>
    /// <returns>Null if there are none.</returns>
    /// <exception cref="IOException">The store is not mounted, or the data cannot be opened.</exception>
    public StoredContent? OpenContent(FileName path)
    {
        ArgumentNullException.ThrowIfNull(path);
        using var root = TryOpenRoot(_storeRoot) ?? throw new IOException(Unavailable);
        using var parent = TryOpenParent(root, path);
        return parent is null ? null : StoredContent.Open(parent, NameOf(path));
    }

    /// <summary>Opens committed data for reading, without following links.</summary>
    /// <returns>Null if there are none.</returns>
    /// <exception cref="IOException">The store is not mounted, or the data cannot be opened.</exception>
    public async Task<StoredContent?> OpenContentAsync(FileName path, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(path);
        var opening = BlockingWork.RunAsync(() => OpenContent(path), cancellationToken);
        try
        {
            return await opening.WaitAsync(cancellationToken);
        }
        catch (OperationCanceledException)
        {
            // The caller has left while a store hangs. Whoever opens it in the end closes it.
            _ = opening.ContinueWith(
                static opened => opened.Result?.Dispose(),
                CancellationToken.None,
                TaskContinuationOptions.OnlyOnRanToCompletion | TaskContinuationOptions.ExecuteSynchronously,
                TaskScheduler.Default
            );
            throw;
        }
    }
}
