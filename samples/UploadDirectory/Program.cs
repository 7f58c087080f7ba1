using Librarian.Client;
using Librarian.Client.Uploads;
using Librarian.Client.Wire;

if (args is not [var site, var user, var directory, var name, var peer] || !Uri.TryCreate(site, UriKind.Absolute, out var address))
{
    Console.Error.WriteLine("Usage: LIBRARIAN_PASSWORD=… upload-directory http://HOST:PORT USER DIRECTORY NAME PEER");
    return 2;
}

var password = Environment.GetEnvironmentVariable("LIBRARIAN_PASSWORD") ?? "";
var host = $"{address.Scheme}://{address.Host}{address.AbsolutePath}";
if (!SiteConnection.TryCreate(host, address.Port, user, password, out var connection, out var wrong))
{
    Console.Error.WriteLine(wrong);
    return 2;
}

using var stop = new CancellationTokenSource();
Console.CancelKeyPress += (_, pressed) =>
{
    pressed.Cancel = true;
    stop.Cancel();
};
using var client = new LibrarianClient(connection);
try
{
    // A directory is one file of the catalog. The upload may be repeated after any failure: content that the site has counts as success.
    var outcome = await new Upload(client, TimeProvider.System).RunAsync(directory, name, cancellationToken: stop.Token);
    if (outcome.Receipt is not { } receipt)
    {
        Console.Error.WriteLine(outcome.Error);
        return 1;
    }

    Console.WriteLine($"{receipt.Name} is stored and verified: {receipt.Digest.Size} bytes, {receipt.Digest.Checksum}.");
    Console.WriteLine($"Waiting for a copy at {peer}. Ctrl-C ends the wait, not the transfer.");
    return await WaitForCopyAsync(receipt.Name);
}
catch (OperationCanceledException)
{
    return 130;
}

// The site sends files to its peers by itself. It lists a remote copy when the peer has verified and acknowledged it.
async Task<int> WaitForCopyAsync(string file)
{
    for (var pause = TimeSpan.FromSeconds(1); ; pause = pause < TimeSpan.FromSeconds(30) ? pause * 2 : pause)
    {
        var found = await client.SearchFilesAsync(new FileSearchRequest(file), stop.Token);
        if (found.IsSuccess && found.Value.Any(hit => hit.Name == file && hit.RemoteInstances.Any(copy => copy.LibrarianName == peer)))
        {
            Console.WriteLine($"{peer} has it.");
            return 0;
        }

        if (!found.IsSuccess)
            Console.Error.WriteLine(found.Error);
        // A site that cannot be reached loses nothing, so this waits for it as well. A refusal would only be repeated.
        if (found.Error is Refused { Status: < 500 })
            return 1;
        await Task.Delay(pause, stop.Token);
    }
}
