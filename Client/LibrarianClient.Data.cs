using System.Globalization;
using System.Net;
using System.Runtime.ExceptionServices;
using Librarian.Client.Wire;

namespace Librarian.Client;

/// <summary>Calls for the data of files (docs/spec/data.md).</summary>
public sealed partial class LibrarianClient
{
    /// <summary>A connection that brings no byte for so long counts as lost.</summary>
    private static readonly TimeSpan IdleTimeout = TimeSpan.FromSeconds(60);

    /// <summary>The site visits every member of a directory before its first byte.</summary>
    private static readonly TimeSpan HeadersTimeout = TimeSpan.FromMinutes(10);

    /// <summary>trees/NAME: downloads the listing of a file or directory.</summary>
    /// <param name="name">Name in the catalog.</param>
    /// <param name="write">Receives the bytes of the lines in order.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The tag: while it is the same, the data are.</returns>
    /// <exception cref="IOException"><paramref name="write"/> failed.</exception>
    public Task<Reply<string>> GetListingAsync(
        string name,
        Func<ReadOnlyMemory<byte>, CancellationToken, ValueTask> write,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentNullException.ThrowIfNull(write);
        return GetAsync(DataAddress(DataRoutes.Trees, name), 0, static _ => null, write, cancellationToken);
    }

    /// <summary>files/NAME: downloads the bytes of a file, or of a directory's files one after the other, from a position on.</summary>
    /// <param name="name">Name in the catalog.</param>
    /// <param name="from">Position of the first byte.</param>
    /// <param name="tag">The tag of the listing. If the data have another one by now, nothing is written.</param>
    /// <param name="write">Receives the bytes in order.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The tag of the data. An error after some bytes were written is <see cref="Unreachable"/>.</returns>
    /// <exception cref="IOException"><paramref name="write"/> failed.</exception>
    public Task<Reply<string>> GetDataAsync(
        string name,
        long from,
        string tag,
        Func<ReadOnlyMemory<byte>, CancellationToken, ValueTask> write,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentNullException.ThrowIfNull(write);
        return GetAsync(
            DataAddress(DataRoutes.Files, name),
            from,
            response =>
                TagOf(response) != tag ? "The data have changed since they were listed."
                : response.StatusCode == HttpStatusCode.PartialContent && response.Content.Headers.ContentRange?.From != from
                    ? "The site answered another range than the one that was asked for."
                : null,
            write,
            cancellationToken
        );
    }

    // Proxies that compress make a tag weak.
    private static string TagOf(HttpResponseMessage response) => response.Headers.ETag?.Tag ?? "";

    private Uri DataAddress(string route, string name) =>
        new(Connection.BaseAddress, DataRoutes.Prefix + route + string.Join('/', name.Split('/').Select(Uri.EscapeDataString)));

    private async Task<Reply<string>> GetAsync(
        Uri address,
        long from,
        Func<HttpResponseMessage, string?> refuse,
        Func<ReadOnlyMemory<byte>, CancellationToken, ValueTask> write,
        CancellationToken cancellationToken
    )
    {
        using var idle = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        idle.CancelAfter(HeadersTimeout);
        var body = new BodyCopy(write, idle);
        Reply<string> reply;
        try
        {
            reply = await ExchangeAsync(
                HttpMethod.Get,
                address,
                null,
                from == 0 ? null : ("Range", $"bytes={from.ToString(CultureInfo.InvariantCulture)}-"),
                ReadAsync,
                idle.Token
            );
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            reply = new Unreachable($"{Connection.BaseAddress} sends nothing any more.", Sent: true);
        }

        body.NotWritten?.Throw();
        return reply;

        async Task<Reply<string>> ReadAsync(HttpResponseMessage response, CancellationToken token)
        {
            idle.CancelAfter(IdleTimeout);
            if (!response.IsSuccessStatusCode)
                return FailureBody.Decode((int)response.StatusCode, await ReadLimitedAsync(response, token)) with
                {
                    RetryAfter = response.Headers.RetryAfter?.Delta,
                };
            if (refuse(response) is { } why)
                return new Malformed((int)response.StatusCode, why);
            // A proxy may ignore the range and send everything.
            var skip = response.StatusCode == HttpStatusCode.PartialContent ? 0 : from;
            return await body.CopyAsync(response, skip, token);
        }
    }

    /// <summary>Copies the body of one answer to its destination.</summary>
    /// <param name="write">Receives the bytes.</param>
    /// <param name="idle">Cancelled when the site sends nothing for <see cref="IdleTimeout"/>.</param>
    private sealed class BodyCopy(Func<ReadOnlyMemory<byte>, CancellationToken, ValueTask> write, CancellationTokenSource idle)
    {
        /// <summary>A failure of the destination, which must not look like a failure of the site.</summary>
        public ExceptionDispatchInfo? NotWritten { get; private set; }

        /// <summary>Copies the body from a position on; returns its tag.</summary>
        public async Task<Reply<string>> CopyAsync(HttpResponseMessage response, long skip, CancellationToken token)
        {
            await using var body = await response.Content.ReadAsStreamAsync(token);
            var buffer = new byte[BufferSize];
            while (true)
            {
                int read;
                try
                {
                    idle.CancelAfter(IdleTimeout);
                    read = await body.ReadAsync(buffer, token);
                    idle.CancelAfter(Timeout.InfiniteTimeSpan);
                }
                catch (InvalidDataException error)
                {
                    return new Malformed((int)response.StatusCode, error.Message);
                }

                if (read == 0)
                    return TagOf(response);
                var skipped = (int)Math.Min(skip, read);
                skip -= skipped;
                try
                {
                    await write(buffer.AsMemory(skipped, read - skipped), token);
                }
                catch (IOException error)
                {
                    NotWritten = ExceptionDispatchInfo.Capture(error);
                    return TagOf(response);
                }
            }
        }
    }
}
