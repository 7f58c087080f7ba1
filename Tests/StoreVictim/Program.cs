using Librarian.Domain.Checksums;
using Librarian.Domain.Stores;
using Librarian.Tests.StoreVictim;

// Places one file and stops for ever at a chosen point, after saying so: the test that started it kills it there.
// Arguments: staging path, store path, own (true/false), staging name, destination, checksum, size, placement id, point.
if (!FileName.TryParse("book", out var uploadName, out _) || !FileName.TryParse(args[4], out var destination, out _))
    return 2;
var options = new LocalStoreOptions
{
    Name = "victim",
    StagingPath = args[0],
    RootPath = args[1],
    OwnAfterCommit = bool.Parse(args[2]),
};
var store = new LocalStore(options, new StopAt(args[8]));
var expected = new ContentDescription(Checksum.Parse(args[5]), long.Parse(args[6]));
var verified = await store.DigestStagedAsync(
    Guid.Parse(args[3]),
    uploadName,
    [expected.Checksum.Algorithm],
    new DigestOptions { FlushToDisk = true, TakeOver = true }
);
var commit = new FileCommit(Guid.Parse(args[3]), uploadName, destination, expected, Guid.Parse(args[7])) { Verified = verified };
var result = await store.CommitFileAsync(commit);
Console.WriteLine($"ended {result.Code}");
return 1;
