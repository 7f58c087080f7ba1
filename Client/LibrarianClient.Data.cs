using System.Net;
using System.Runtime.ExceptionServices;
using Librarian.Client.Wire;

namespace Librarian.Client;

/// <summary>Calls for the data of files (docs/spec/data.md).</summary>
public sealed partial class LibrarianClient
{
    /// <summary>A connection that brings no byte for so long is given up.</summary>
    private static readonly TimeSpan IdleTimeout = TimeSpan.FromSeconds(60);

    /// <summary>trees/NAME: downloads the listing of a file or directory.</summary>
    /// <param name="name">Name in the catalog.</param>
    /// <param name="to">Receives the lines.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The tag: while it is the same, the data are.</returns>
    /// <exception cref="IOException"><paramref name="to"/> refused the bytes.</exception>
    public Task<Reply<string>> GetListingAsync(string name, Stream to, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(to);
        return GetAsync(DataAddress(DataRoutes.Trees, name), 0, static _ => null, to.WriteAsync, cancellationToken);
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
                : response.StatusCode == (from == 0 ? HttpStatusCode.OK : HttpStatusCode.PartialContent) ? null
                : "The site did not answer the range that was asked for.",
            write,
            cancellationToken
        );
    }

    private static string TagOf(HttpResponseMessage response) => response.Headers.ETag?.ToString() ?? "";

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
        // A failure of the destination must not look like a failure of the site.
        ExceptionDispatchInfo? notWritten = null;
        var reply = await ExchangeAsync<string>(
            HttpMethod.Get,
            address,
            null,
            from == 0 ? null : ("Range", $"bytes={from.ToString(System.Globalization.CultureInfo.InvariantCulture)}-"),
            async (response, token) =>
            {
                if (!response.IsSuccessStatusCode)
                    return FailureBody.Decode((int)response.StatusCode, await ReadLimitedAsync(response, token)) with
                    {
                        RetryAfter = response.Headers.RetryAfter?.Delta,
                    };
                if (refuse(response) is { } why)
                    return new Malformed((int)response.StatusCode, why);
                await using var body = await response.Content.ReadAsStreamAsync(token);
                using var idle = CancellationTokenSource.CreateLinkedTokenSource(token);
                var buffer = new byte[BufferSize];
                while (true)
                {
                    idle.CancelAfter(IdleTimeout);
                    var read = await body.ReadAsync(buffer, idle.Token);
                    if (read == 0)
                        return TagOf(response);
                    idle.CancelAfter(Timeout.InfiniteTimeSpan);
                    try
                    {
                        await write(buffer.AsMemory(0, read), token);
                    }
                    catch (IOException error)
                    {
                        notWritten = ExceptionDispatchInfo.Capture(error);
                        return TagOf(response);
                    }
                }
            },
            cancellationToken
        );
        notWritten?.Throw();
        return reply;
    }
}
