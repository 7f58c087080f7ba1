namespace Librarian.Durable;

/// <summary>A serialized value is larger than <see cref="DurableTaskOptions.MaxPayloadBytes"/>.</summary>
public sealed class PayloadTooLargeException : InvalidOperationException
{
    /// <summary>Creates the exception for a value of <paramref name="bytes"/> bytes.</summary>
    public PayloadTooLargeException(long bytes, long limit)
        : base(
            $"PayloadTooLarge: the serialized value has {bytes} bytes, the limit is {limit}. Nothing was stored. "
                + "Keep bulk data in the catalog and pass its id."
        ) { }
}
