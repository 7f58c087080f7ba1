using System.Globalization;
using System.Net.Http.Headers;
using Librarian.Client.Wire;

namespace Librarian.Client;

/// <summary>Calls for data batches (docs/spec/data-batches.md).</summary>
public sealed partial class LibrarianClient
{
    /// <summary>The site makes a directory for each in the layout before it answers.</summary>
    private static readonly TimeSpan LayoutTimeout = TimeSpan.FromMinutes(10);

    /// <summary>The site flushes a whole segment before it answers.</summary>
    private static readonly TimeSpan FlushTimeout = TimeSpan.FromMinutes(3);

    private Uri Batches => new(Connection.BaseAddress, DataRoutes.Prefix + DataBatchRoutes.Batches);

    /// <summary>batches: makes a data batch, or finds the one with the same layout.</summary>
    /// <param name="layout">The layout, compressed with gzip; read from its start.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The state of the batch.</returns>
    public Task<Reply<DataBatchState>> MakeDataBatchAsync(Stream layout, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(layout);
        return LimitedAsync(
            LayoutTimeout,
            HttpMethod.Post,
            Batches,
            (request, _) =>
            {
                layout.Position = 0;
                request.Content = new UnownedContent(layout);
                request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/jsonl");
                request.Content.Headers.ContentEncoding.Add("gzip");
            },
            (response, token) => ReadAsync(response, WireJson.Wire.DataBatchState, AnswerLimits.DataBatch, token),
            cancellationToken
        );
    }

    /// <summary>batches/{id}: the state of a data batch.</summary>
    /// <param name="id">Its id.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The state.</returns>
    public Task<Reply<DataBatchState>> GetDataBatchAsync(string id, CancellationToken cancellationToken = default) =>
        LimitedAsync(
            FlushTimeout,
            HttpMethod.Get,
            new Uri($"{Batches}/{id}"),
            static (_, _) => { },
            (response, token) => ReadAsync(response, WireJson.Wire.DataBatchState, AnswerLimits.DataBatch, token),
            cancellationToken
        );

    /// <summary>batches/{id}: forgets a data batch; its transfers stay.</summary>
    /// <param name="id">Its id.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>True.</returns>
    public Task<Reply<bool>> RemoveDataBatchAsync(string id, CancellationToken cancellationToken = default) =>
        LimitedAsync(
            FlushTimeout,
            HttpMethod.Delete,
            new Uri($"{Batches}/{id}"),
            static (_, _) => { },
            async (response, token) => (await ReadAsync<bool>(response, null, 0, token)) is { IsSuccess: false } refused ? refused : true,
            cancellationToken
        );

    /// <summary>segments/{n}: where a segment's bytes so far end.</summary>
    /// <param name="segment">The segment.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>Its progress.</returns>
    public Task<Reply<SegmentProgress>> GetSegmentAsync(SegmentAddress segment, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(segment);
        return LimitedAsync(FlushTimeout, HttpMethod.Head, AddressOf(segment), static (_, _) => { }, ReadSegmentAsync, cancellationToken);
    }

    /// <summary>segments/{n}: adds the rest of a segment.</summary>
    /// <param name="segment">The segment.</param>
    /// <param name="rest">The bytes that are left.</param>
    /// <param name="onBytes">Called with the number of bytes that were given to the network.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The segment's progress; also when the offset was another.</returns>
    public Task<Reply<SegmentProgress>> AppendSegmentAsync(
        SegmentAddress segment,
        SegmentRest rest,
        Action<int>? onBytes = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentNullException.ThrowIfNull(segment);
        ArgumentNullException.ThrowIfNull(rest);
        return LimitedAsync(
            IdleTimeout,
            HttpMethod.Patch,
            AddressOf(segment),
            (request, idle) =>
            {
                request.Content = new MeteredContent(
                    rest.Bytes,
                    sent =>
                    {
                        idle.Allow(IdleTimeout);
                        onBytes?.Invoke(sent);
                    },
                    () => idle.Allow(FlushTimeout)
                );
                request.Content.Headers.ContentType = new MediaTypeHeaderValue(DataBatchRoutes.PartialUpload);
                request.Headers.TryAddWithoutValidation("Upload-Draft-Interop-Version", "8");
                request.Headers.TryAddWithoutValidation(DataBatchRoutes.OffsetHeader, rest.Offset.ToString(CultureInfo.InvariantCulture));
                request.Headers.TryAddWithoutValidation(DataBatchRoutes.CompleteHeader, rest.Digest is null ? "?0" : "?1");
                if (rest.Digest is { } digest)
                    request.Headers.TryAddWithoutValidation(
                        DataBatchRoutes.DigestHeader,
                        $"{DataBatchRoutes.Xxh3}=:{Convert.ToBase64String(digest.Span)}:"
                    );
            },
            ReadSegmentAsync,
            cancellationToken
        );
    }

    private Uri AddressOf(SegmentAddress segment)
    {
        var number = segment.Segment.ToString(CultureInfo.InvariantCulture);
        var generation = segment.Generation == 0 ? "" : "." + segment.Generation.ToString(CultureInfo.InvariantCulture);
        return new Uri($"{Batches}/{segment.Batch}/segments/{number}{generation}");
    }

    /// <summary>A call that ends when it makes no progress for too long.</summary>
    private async Task<Reply<T>> LimitedAsync<T>(
        TimeSpan limit,
        HttpMethod method,
        Uri address,
        Action<HttpRequestMessage, IdleLimit> prepare,
        Func<HttpResponseMessage, CancellationToken, Task<Reply<T>>> readAsync,
        CancellationToken cancellationToken
    )
    {
        using var idle = new IdleLimit(cancellationToken);
        idle.Allow(limit);
        try
        {
            return await ExchangeAsync(method, address, request => prepare(request, idle), readAsync, idle.Token);
        }
        catch (OperationCanceledException) when (idle.Token.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            return new Unreachable($"{Connection.BaseAddress} takes no bytes any more.", Sent: true);
        }
    }

    private static async Task<Reply<SegmentProgress>> ReadSegmentAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        var status = (int)response.StatusCode;
        if (!response.IsSuccessStatusCode && status != 409)
        {
            var refused = FailureBody.Decode(status, await ReadLimitedAsync(response, cancellationToken)) with
            {
                RetryAfter = response.Headers.RetryAfter?.Delta,
            };
            return refused;
        }

        return long.TryParse(
            Header(response, DataBatchRoutes.OffsetHeader),
            NumberStyles.None,
            CultureInfo.InvariantCulture,
            out var offset
        )
            ? new SegmentProgress(offset, status != 409 && Header(response, DataBatchRoutes.CompleteHeader) == "?1")
            : new Malformed(status, "The answer has no offset.");
    }
}
