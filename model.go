package dpopnonce

import (
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
)

// DPoPNonce is one row of the table dpop_nonces: a nonce that this server issued.
// UsedAt is nil until the nonce is accepted, and is set exactly once.
//
// db.AutoMigrate(&DPoPNonce{}) creates the default table, and alters nothing on
// the one that the Ecto generator of attesto_phoenix made. A table named through
// [WithTable] needs [Repository.Migrate] or [Repository.Schema].
//
// Every column is named, so that a naming strategy cannot rename it, and the
// times have no type, so that AutoMigrate leaves an existing column alone.
type DPoPNonce struct {
	ID        uuid.UUID  `gorm:"column:id;type:uuid;primaryKey"`
	Nonce     string     `gorm:"column:nonce;type:varchar(255);not null;uniqueIndex:dpop_nonces_nonce_index"`
	IssuedAt  time.Time  `gorm:"column:issued_at;not null"`
	ExpiresAt time.Time  `gorm:"column:expires_at;not null;index:dpop_nonces_expires_at_index"`
	UsedAt    *time.Time `gorm:"column:used_at"`
}

// defaultTable is the table of a repository without WithTable.
const defaultTable = "dpop_nonces"

// TableName names the table for GORM, whatever its naming strategy.
func (DPoPNonce) TableName() string { return defaultTable }

// BeforeCreate gives a row without an id a UUIDv7.
func (n *DPoPNonce) BeforeCreate(*gorm.DB) (err error) {
	if n.ID == uuid.Nil {
		n.ID, err = uuid.NewV7()
	}
	return err
}

// BeforeSave stores instants as whole seconds in UTC, floored. The time that
// UsedAt points to is left as it is.
func (n *DPoPNonce) BeforeSave(*gorm.DB) error {
	n.IssuedAt = wholeSecond(n.IssuedAt)
	n.ExpiresAt = wholeSecond(n.ExpiresAt)
	if n.UsedAt != nil {
		used := wholeSecond(*n.UsedAt)
		n.UsedAt = &used
	}
	return nil
}
