using System.Text.Json;
using Librarian.Client.Wire;

namespace Librarian.Client;

/// <summary>Calls between sites of this project. These endpoints are not in upstream's protocol.</summary>
public sealed partial class LibrarianClient
{
    /// <summary>copies: asks which of these files the site holds. A Python site answers 404.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<CopiesResponse>> AskCopiesAsync(CopiesRequest request, CancellationToken cancellationToken = default) =>
        ExchangeAsync(
            HttpMethod.Post,
            new Uri(Connection.BaseAddress, PeerRoutes.Prefix + PeerRoutes.Copies),
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.CopiesRequest),
            null,
            (response, token) => ReadAsync(response, WireJson.Wire.CopiesResponse, AnswerLimits.Of(PeerRoutes.Copies), token),
            cancellationToken
        );
}
