using Librarian.Domain.Checksums;
using Librarian.Domain.Stores;
using Librarian.Tests.StoreVictim;

// Places one file and stops for ever at a chosen point, after saying so: the test that started it kills it there.
// Arguments: staging path, store path, own (true/false), staging name, destination, checksum, size, placement id, point.
if (!StorePath.TryParse("book", out var uploadName, out _) || !StorePath.TryParse(args[4], out var destination, out _))
    return 2;
var options = new LocalStoreOptions { Name = "victim", StagingPath = args[0], StorePath = args[1], OwnAfterCommit = bool.Parse(args[2]) };
var placement = new Placement(
    Guid.Parse(args[3]), uploadName, destination, new ContentDescription(Checksum.Parse(args[5]), long.Parse(args[6])), Guid.Parse(args[7]));
var result = await new LocalStore(options, new StopAt(args[8])).PlaceAsync(placement);
Console.WriteLine($"ended {result.Code}");
return 1;
