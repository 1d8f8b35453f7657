// SPDX-License-Identifier: Apache-2.0

package definition

import "time"

// Rollout is how the instances of a service are replaced by those of a changed
// definition or image: deploy.update_config of the Compose Deploy Specification.
type Rollout struct {
	Parallelism *int          `json:"parallelism,omitempty"` // instances at once; nil = 1, 0 = all
	Delay       time.Duration `json:"delay,omitempty"`       // between the last of some and the first of the next, ns
	// Monitor is how long instances must stay up before the next ones follow, ns; nil =
	// as Swarm has it, but where they are not up before a check has succeeded.
	Monitor *time.Duration `json:"monitor,omitempty"`
	// Continue goes on with the others where one does not come up.
	Continue bool `json:"continue,omitempty"`
}

// Instances is how many there are.
func (s *Service) Instances() int {
	if s.Replicas == nil {
		return 1
	}
	return *s.Replicas
}
