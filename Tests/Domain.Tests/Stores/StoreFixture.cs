using Librarian.Domain.Checksums;
using Librarian.Domain.Stores;

namespace Librarian.Tests.Domain.Stores;

/// <summary>A store with its two directories, and short ways to fill and look at them.</summary>
public sealed class StoreFixture : IDisposable
{
    private readonly TemporaryDirectory _stagingParent;
    private readonly TemporaryDirectory _storeParent;

    public StoreFixture(
        Func<LocalStoreOptions, LocalStoreOptions>? configure = null,
        string stagingRoot = "/tmp",
        string storeRoot = "/tmp",
        IStoreFaults? faults = null
    )
    {
        _stagingParent = new TemporaryDirectory(stagingRoot);
        _storeParent = new TemporaryDirectory(storeRoot);
        StagingPath = _stagingParent.MakeDirectory("staging");
        StorePath = _storeParent.MakeDirectory("store");
        var options = new LocalStoreOptions
        {
            Name = "disk",
            StagingPath = StagingPath,
            RootPath = StorePath,
        };
        Options = configure is null ? options : configure(options);
        Store = new LocalStore(Options, faults);
    }

    public string StagingPath { get; }

    public string StorePath { get; }

    public LocalStoreOptions Options { get; }

    public LocalStore Store { get; }

    public static FileName Name(string text)
    {
        Assert.True(FileName.TryParse(text, out var path, out _));
        return path;
    }

    public TemporaryDirectory StagingFiles => _stagingParent;

    public TemporaryDirectory StoreFiles => _storeParent;

    /// <summary>Stages data as a client does, verifies them as the site does, and says how to place them.</summary>
    /// <param name="destination">The final name.</param>
    /// <param name="content">Relative file names and contents; a single "" is a plain file.</param>
    public async Task<FileCommit> StageAsync(string destination, params (string Name, string Content)[] content)
    {
        var staging = Guid.NewGuid();
        var uploadName = Name("book");
        var staged = await Store.CreateStagingAsync(staging, uploadName);
        Assert.Equal("store.staged", staged.Code);
        foreach (var (name, text) in content)
        {
            var path = name.Length == 0 ? staged.Location! : staged.Location + "/" + name;
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            await File.WriteAllTextAsync(path, text);
        }

        var digest = await Store.DigestStagedAsync(
            staging,
            uploadName,
            [ChecksumAlgorithm.Xxh3],
            new DigestOptions { FlushToDisk = true, TakeOver = true }
        );
        Assert.True(digest.IsComplete, digest.Message);
        return new FileCommit(
            staging,
            uploadName,
            Name(destination),
            new ContentDescription(digest.Checksums[ChecksumAlgorithm.Xxh3], digest.SizeBytes),
            Guid.NewGuid()
        )
        {
            Verified = digest,
        };
    }

    public string StagedPath(FileCommit commit) => Store.LocateStaged(commit.StagingName, commit.UploadName!);

    public async Task<bool> TargetIsAsExpectedAsync(FileCommit commit) =>
        (await Store.DigestAsync(commit.Destination, [commit.Expected.Checksum.Algorithm])).Matches(commit.Expected);

    public async Task<bool> StagedIsAsExpectedAsync(FileCommit commit) =>
        (await Store.DigestStagedAsync(commit.StagingName, commit.UploadName!, [commit.Expected.Checksum.Algorithm])).Matches(
            commit.Expected
        );

    /// <summary>
    /// Committed entries: everything below the store root except its working directory, directories with a trailing slash.
    /// </summary>
    public string[] Committed() =>
        [
            .. Directory
                .EnumerateFileSystemEntries(
                    StorePath,
                    "*",
                    new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = FileAttributes.None }
                )
                .Select(path => path[(StorePath.Length + 1)..] + (Directory.Exists(path) ? "/" : string.Empty))
                .Where(path => !path.StartsWith(".librarian", StringComparison.Ordinal))
                .Order(StringComparer.Ordinal),
        ];

    /// <summary>Work in progress below the store's working directory, locks aside.</summary>
    public string[] InProgress() =>
        [
            .. new[] { "incoming", "trash" }
                .Select(name => Path.Combine(StorePath, ".librarian", name))
                .Where(Directory.Exists)
                .SelectMany(Directory.EnumerateFileSystemEntries),
        ];

    public void Dispose()
    {
        _stagingParent.Dispose();
        _storeParent.Dispose();
    }
}

/// <summary>The process dies here.</summary>
public sealed class SimulatedCrashException(string point) : Exception(point);

/// <summary>Records the points reached, and dies at a chosen one.</summary>
public sealed class ScriptedFaults(List<string>? reached = null) : IStoreFaults
{
    public List<string> Reached { get; } = reached ?? [];

    public string? CrashAt { get; set; }

    public bool LacksRenameWithoutReplacing { get; set; }

    public void Reach(string point)
    {
        lock (Reached)
            Reached.Add(point);
        if (string.Equals(point, CrashAt, StringComparison.Ordinal))
            throw new SimulatedCrashException(point);
    }
}
