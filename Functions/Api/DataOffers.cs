using System.Net;
using Librarian.Client.Wire;
using Librarian.Domain.Configuration;
using Microsoft.Extensions.Options;

namespace Librarian.Functions.Api;

/// <summary>Decides whether a sender is offered data batches (docs/spec/data-batches.md#offer).</summary>
public sealed class DataOffers(IOptions<SiteOptions> options)
{
    /// <summary>What the header is for.</summary>
    public const string HeaderMeaning = "`https;v=1` if the caller can send data batches; the answer then offers them.";

    /// <summary>Whether the sender can use data batches, and its bytes come encrypted or from this machine.</summary>
    public bool IsUsable(HttpRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        return request
                .Headers[DataBatchRoutes.MoversHeader]
                .Any(m => m?.Split(',', StringSplitOptions.TrimEntries).Contains(DataBatchRoutes.Https) == true)
            && (
                options.Value.DataPlane.AllowInsecure
                || request.IsHttps
                || request.HttpContext.Connection.RemoteIpAddress is null
                || IPAddress.IsLoopback(request.HttpContext.Connection.RemoteIpAddress)
            );
    }
}
